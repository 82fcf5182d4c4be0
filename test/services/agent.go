package services

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/holdfast-web/holdfast/test/program"
)

// guestKey tells the process that it is the init of a guest, and its address.
const guestKey = "HOLDFAST_TEST_GUEST"

const guestPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// guestMain is the init of a guest: it prepares the kernel, then does what the
// test says over HTTP.
func guestMain() int {
	a := &agent{programs: make(map[int]*running)}
	err := os.Setenv("PATH", guestPath) // a kernel gives its init none
	if err == nil {
		err = prepareGuest(os.Getenv(guestKey))
	}
	if err == nil {
		err = http.ListenAndServe(net.JoinHostPort(os.Getenv(guestKey), guestPort), a.handler())
	}
	fmt.Println("guest:", err)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) // it does not return; an init that did would panic the kernel
	return 1
}

func prepareGuest(address string) error {
	for _, m := range []struct{ kind, dir string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	for _, name := range strings.Fields("oid_registry sunrpc auth_rpcgss grace lockd netfs fscache dns_resolver nfs_acl nfs nfsv4") {
		if err := loadModule(name); err != nil {
			return fmt.Errorf("load module %s: %w", name, err)
		}
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"address", "add", address + "/24", "dev", "vec0"},
		{"link", "set", "vec0", "up"},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

func loadModule(name string) error {
	var path string
	err := filepath.WalkDir("/usr/lib/uml/modules", func(p string, _ fs.DirEntry, err error) error {
		if filepath.Base(p) == name+".ko" {
			path = p
		}
		return err
	})
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

// agent runs programs for the test.
type agent struct {
	mu       sync.Mutex
	programs map[int]*running
}

type running struct {
	cmd            *exec.Cmd
	stdout, stderr program.Buffer
	done           chan struct{}
}

func (a *agent) handler() http.Handler {
	mux := http.NewServeMux()
	answer(mux, "hello", func(struct{}) (any, error) { return "hello", nil })
	answer(mux, "run", func(p Program) (any, error) {
		r, err := a.start(p)
		if err != nil {
			return nil, err
		}
		<-r.done
		return r.started().Result, nil
	})
	answer(mux, "start", func(p Program) (any, error) {
		r, err := a.start(p)
		if err != nil {
			return nil, err
		}
		return r.cmd.Process.Pid, nil
	})
	answer(mux, "look", func(pid int) (any, error) { return a.program(pid).started(), nil })
	answer(mux, "signal", func(s [2]int) (any, error) { return nil, syscall.Kill(s[0], syscall.Signal(s[1])) })
	answer(mux, "mount", func(m Mount) (any, error) {
		if err := os.MkdirAll(m.Dir, 0o755); err != nil {
			return nil, err
		}
		return nil, unix.Mount(m.Source, m.Dir, "nfs4", 0, m.Options)
	})
	answer(mux, "unmount", func(dir string) (any, error) { return nil, unix.Unmount(dir, unix.MNT_DETACH) })
	return mux
}

func answer[T any](mux *http.ServeMux, what string, do func(T) (any, error)) {
	mux.HandleFunc("POST /"+what, func(w http.ResponseWriter, r *http.Request) {
		var request T
		err := json.NewDecoder(r.Body).Decode(&request)
		var result any
		if err == nil {
			result, err = do(request)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_ = json.NewEncoder(w).Encode(result) // the test notices
	})
}

func (a *agent) start(p Program) (*running, error) {
	r := &running{cmd: exec.Command(p.Args[0], p.Args[1:]...), done: make(chan struct{})}
	r.cmd.Dir, r.cmd.Stdout, r.cmd.Stderr = p.Dir, &r.stdout, &r.stderr
	r.cmd.Env = append([]string{"PATH=" + guestPath, "HOME=/run", "TMPDIR=/run", inside + "=guest"}, p.Env...)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = r.cmd.Wait() // the state says all
		close(r.done)
	}()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.programs[r.cmd.Process.Pid] = r
	return r, nil
}

func (a *agent) program(pid int) *running {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.programs[pid]
}

func (r *running) started() Started {
	s := Started{Result: Result{Stdout: r.stdout.String(), Stderr: r.stderr.String()}}
	select {
	case <-r.done:
		s.Ended, s.Code = true, r.cmd.ProcessState.ExitCode()
	default:
	}
	return s
}
