package services

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inside marks the process that runs the tests in namespaces of its own.
const inside = "HOLDFAST_TEST_INSIDE"

// Isolate runs the tests of a package in network, mount and process namespaces of
// their own, which end with the test binary, however that ends, and all that runs
// in them with it: no bridge, guest or server of a test that crashed is left over.
// Where there cannot be any, run is run as it is, and NeedIsolation skips. In a
// guest it runs nothing but the guest.
func Isolate(m *testing.M, run func(*testing.M) int) int {
	switch {
	case os.Getenv(guestKey) != "":
		return guestMain()
	case os.Getenv(inside) == "guest":
		return m.Run()
	case os.Getenv(inside) != "":
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "isolate tests:", err)
			return 1
		}
		return run(m)
	case lacksIsolation() != "":
		return run(m)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=host")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate tests:", err)
		return 1
	}
	return 0
}

// enter makes the namespaces usable.
func enter() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("detach mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", bridgeName, "type", "bridge", "forward_delay", "0"},
		{"address", "add", Bridge + "/24", "dev", bridgeName},
		// Guests drop frames of more than one segment.
		{"link", "set", bridgeName, "up", "gso_max_segs", "1"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// NeedIsolation skips a test that Isolate could not isolate.
func NeedIsolation(t testing.TB) {
	t.Helper()
	if reason := lacksIsolation(); reason != "" {
		t.Skip("needs a network of its own and User-Mode Linux: ", reason)
	}
}

// InGuest reports whether the test runs in a guest.
func InGuest() bool { return os.Getenv(inside) == "guest" }

// lacksIsolation says why there can be no namespaces and guests here.
func lacksIsolation() string {
	if os.Getuid() != 0 {
		return "not run by root"
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return err.Error()
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	if err := probe.Run(); err != nil {
		return "no namespaces: " + err.Error()
	}
	return ""
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
