package durable

import (
	"errors"
	"io/fs"
	"testing"
)

func TestNetworkName(t *testing.T) {
	for kind, want := range map[uint32]string{
		0x6969: "NFS", 0xff534d42: "SMB", 0xfe534d42: "SMB", 0x517b: "SMB", 0x01021997: "9P", 0x00c36400: "Ceph",
		0x0bd00bd0: "Lustre", 0xef53: "", 0x01021994: "", 0x9123683e: "", 0x58465342: "", 0x65735546: "", 0x794c7630: "",
	} {
		if got := networkName(kind); got != want {
			t.Errorf("networkName(%#x) = %q, want %q", kind, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	if name, err := Network(t.TempDir()); err != nil || name != "" {
		t.Errorf("Network of a local directory = %q, %v", name, err)
	}
	if _, err := Network("/no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Network of nothing: %v", err)
	}
}
