package services

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// NFS is a real NFSv4 server, nfs-ganesha, that exports directories to guests.
type NFS struct {
	Dir    string // what it exports as Source
	Source string // of a mount
	Spare  string // of a mount of another directory, which is empty
	t      testing.TB
	daemon *daemon
	cut    bool
}

const ganeshaConfig = `
NFS_CORE_PARAM { Protocols = 4; NFS_Port = 2049; Bind_addr = %s; fsid_device = true;
	Enable_UDP = false; Enable_NLM = false; Enable_RQUOTA = false; Clustered = false; }
NFSv4 { Graceless = true; Lease_Lifetime = 10; Only_Numeric_Owners = true; Allow_Numeric_Owners = true;
	RecoveryBackend = fs; RecoveryRoot = %s; }
EXPORT_DEFAULTS { Access_Type = RW; Squash = No_Root_Squash; SecType = sys; Protocols = 4; Transports = TCP; }
EXPORT { Export_Id = 1; Path = %s; Pseudo = /store; FSAL { Name = VFS; } }
EXPORT { Export_Id = 2; Path = %s; Pseudo = /spare; FSAL { Name = VFS; } }
LOG { Default_Log_Level = EVENT; }
`

// StartNFS starts a server on the bridge of the guests; it ends with the test.
func StartNFS(t testing.TB) *NFS {
	t.Helper()
	NeedIsolation(t)
	dir := t.TempDir()
	n := &NFS{Dir: filepath.Join(dir, "export"), Source: Bridge + ":/store", Spare: Bridge + ":/spare", t: t}
	config := filepath.Join(dir, "ganesha.conf")
	recovery, spare := filepath.Join(dir, "recovery"), filepath.Join(dir, "spare")
	for _, d := range []string{n.Dir, recovery, spare} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, ganeshaConfig, Bridge, recovery, n.Dir, spare), 0o600); err != nil {
		t.Fatal(err)
	}
	n.daemon = newDaemon(t, "ganesha", tool(t, "ganesha.nfsd"), "-F", "-f", config, "-p", filepath.Join(dir, "pid"), "-L", "/dev/stdout")
	n.daemon.run()
	t.Cleanup(func() {
		if n.cut {
			n.Heal()
		}
	})
	n.daemon.await(func() error {
		c, err := net.DialTimeout("tcp", Bridge+":2049", time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return n
}

// Mount returns the mount of the export at dir, with options as mount.nfs knows them.
func (n *NFS) Mount(dir string, g *Guest, options ...string) Mount {
	all := append([]string{"vers=4.1", "addr=" + Bridge, "clientaddr=" + g.Address}, options...)
	return Mount{n.Source, dir, strings.Join(all, ",")}
}

// Cut drops all packets from and to the server, so that it seems to hang; Heal
// lets them pass again.
func (n *NFS) Cut() {
	n.t.Helper()
	n.nft(`add table inet holdfast
add chain inet holdfast in { type filter hook input priority 0; }
add chain inet holdfast out { type filter hook output priority 0; }
add rule inet holdfast in tcp dport 2049 drop
add rule inet holdfast out tcp sport 2049 drop
`)
	n.cut = true
}

// Heal is the opposite of Cut.
func (n *NFS) Heal() {
	n.t.Helper()
	n.nft("delete table inet holdfast\n")
	n.cut = false
}

func (n *NFS) nft(commands string) {
	n.t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nft: %v\n%s", err, out)
	}
}
