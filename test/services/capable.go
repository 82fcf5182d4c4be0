package services

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// guestsCrash tries whether no program runs in a guest on this machine. The kernel of Debian 12 saves less of the processor's
// state than processors with AMX have, and every program there ends by a segmentation
// fault, /bin/true as well.
func guestsCrash() bool {
	path, err := exec.LookPath("linux.uml")
	if err != nil {
		return false // the caller says so
	}
	ctx, cancel := context.WithTimeout(context.Background(), readiness)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "mem=64M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw",
		"init=/bin/true", "con=null", "con0=null,fd:1", "loglevel=1", "panic=-1")
	cmd.WaitDelay = time.Second
	out, _ := cmd.CombinedOutput() // it panics in any case: an init that ends is an error
	return crashed(string(out))
}

// crashed tells the panic of a kernel whose init had a segmentation fault from that of
// one whose init just ended.
func crashed(console string) bool {
	return strings.Contains(console, "Attempted to kill init! exitcode=0x0000000b")
}

// needGuests skips a test that no guest can be had for.
func needGuests(t testing.TB) {
	t.Helper()
	if guestsCrash() {
		t.Skip("no program runs in User-Mode Linux on this processor: /bin/true ends by a segmentation fault there")
	}
}
