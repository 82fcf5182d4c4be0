package services

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// Bridge is the address of the test on the network of its guests.
const Bridge = "10.77.0.1"

const (
	bridgeName = "holdfast-test"
	guestPort  = "7000"
)

// Guest is a Linux of its own on the network of the test: a User-Mode Linux
// kernel over the file system of this machine, whose programs and directories it
// shares but for /run, which is its own, in memory. Only there may a node keep
// its data.
type Guest struct {
	Name    string
	Address string // without a port
	t       testing.TB
	daemon  *daemon
}

// StartGuests starts guests with the given names; they end with the test. The
// package's tests must be run by Isolate.
func StartGuests(t testing.TB, names ...string) []*Guest {
	t.Helper()
	NeedIsolation(t)
	needGuests(t)
	var guests []*Guest
	for i, name := range names {
		guests = append(guests, newGuest(t, name, i))
	}
	for _, g := range guests {
		g.daemon.await(func() error {
			_, err := g.call("hello", nil, time.Second)
			return err
		})
	}
	return guests
}

func newGuest(t testing.TB, name string, i int) *Guest {
	t.Helper()
	g := &Guest{Name: name, Address: fmt.Sprintf("10.77.0.%d", 11+i), t: t}
	tap := fmt.Sprintf("tap%d", i)
	for _, args := range [][]string{
		{"tuntap", "add", "mode", "tap", tap},
		{"link", "set", tap, "master", bridgeName, "up"},
	} {
		if err := ip(args...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := ip("link", "delete", tap); err != nil {
			t.Error(err)
		}
	})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	g.daemon = newDaemon(t, "guest-"+name, tool(t, "linux.uml"), "mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw",
		"init="+self, "vec0:transport=tap,ifname="+tap, "con=null", "con0=null,fd:1", "loglevel=1", "panic=-1",
		"uml_dir="+t.TempDir(), "umid="+name, guestKey+"="+g.Address)
	g.daemon.run()
	return g
}

// Program is a program to run in a guest.
type Program struct {
	Args []string
	Env  []string // besides a PATH
	Dir  string
}

// Result of a program: code is -1 for one that a signal ended.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// Run runs a program in the guest to its end.
func (g *Guest) Run(p Program, patience time.Duration) (r Result, err error) {
	return r, g.decode(&r, "run", p, patience)
}

// Start starts a program in the guest and returns its process ID.
func (g *Guest) Start(p Program) (pid int) {
	g.t.Helper()
	if err := g.decode(&pid, "start", p, readiness); err != nil {
		g.t.Fatal(err)
	}
	return pid
}

// Started is a program that Start started: what it said so far, and whether and
// how it ended.
type Started struct {
	Result
	Ended bool
}

// Look tells about a started program.
func (g *Guest) Look(pid int) (s Started) {
	g.t.Helper()
	if err := g.decode(&s, "look", pid, readiness); err != nil {
		g.t.Fatal(err)
	}
	return s
}

// Signal sends a signal to a started program.
func (g *Guest) Signal(pid int, signal int) {
	g.t.Helper()
	if _, err := g.call("signal", [2]int{pid, signal}, readiness); err != nil {
		g.t.Fatal(err)
	}
}

// Mount is a network file system to mount.
type Mount struct {
	Source, Dir, Options string // as mount(2) wants them, with addr=
}

// Mount mounts an NFSv4 export in the guest.
func (g *Guest) Mount(m Mount) {
	g.t.Helper()
	if _, err := g.call("mount", m, readiness); err != nil {
		g.t.Fatal(err)
	}
}

// Unmount detaches what is mounted at dir.
func (g *Guest) Unmount(dir string) {
	g.t.Helper()
	if _, err := g.call("unmount", dir, readiness); err != nil {
		g.t.Fatal(err)
	}
}

func (g *Guest) decode(into any, what string, request any, patience time.Duration) error {
	answer, err := g.call(what, request, patience)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, into)
}

// call asks the guest's agent.
func (g *Guest) call(what string, request any, patience time.Duration) ([]byte, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+net.JoinHostPort(g.Address, guestPort)+"/"+what, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s in guest %s: %w", what, g.Name, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(string(answer))
	}
	if err != nil {
		return nil, fmt.Errorf("%s in guest %s: %w", what, g.Name, err)
	}
	return answer, nil
}
