package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every command and every wait.
const patience = time.Minute

// session runs the commands of one page in a directory of its own.
type session struct {
	t    *testing.T
	dir  string
	jobs []*job
}

// job is a program in the background.
type job struct {
	command string
	cmd     *exec.Cmd
	output  *lockedBuffer
	ended   chan error
}

func newSession(t *testing.T) *session {
	t.Helper()
	for _, address := range []string{"127.0.0.1:8080", "127.0.0.1:8081"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("the docs use this address, and something else listens there: %v", err)
		}
		l.Close()
	}
	s := &session{t: t, dir: t.TempDir()}
	s.run("npm run build")
	writeCertificate(t, s.dir)
	t.Cleanup(s.end)
	return s
}

// run runs a command to its end and returns what it printed.
func (s *session) run(command string) (output string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := s.bash(ctx, command)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *session) bash(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", command)
	cmd.Dir = s.dir
	cmd.WaitDelay = time.Second
	return cmd
}

// start runs a command in the background and returns what it printed until the
// node that it is was ready.
func (s *session) start(command string) (output string, err error) {
	j := &job{command: command, cmd: s.bash(context.Background(), "exec "+command), output: &lockedBuffer{}, ended: make(chan error, 1)}
	j.cmd.Stdout, j.cmd.Stderr = j.output, j.output
	if err := j.cmd.Start(); err != nil {
		return "", err
	}
	go func() { j.ended <- j.cmd.Wait() }()
	s.jobs = append(s.jobs, j)
	deadline := time.After(patience)
	// Several nodes share the admin address that is asked: each says when it serves.
	up := func() bool { return strings.Contains(j.output.String(), "serving side ") && ready() && s.registered() }
	if strings.Contains(command, " --dev ") { // no node: it has no admin address, and is registered nowhere
		up = answers
	}
	for !up() {
		select {
		case err := <-j.ended:
			j.ended <- err
			return j.output.String(), fmt.Errorf("it ended: %w", err)
		case <-deadline:
			return j.output.String(), fmt.Errorf("it was not ready within %v", patience)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return j.output.String(), nil
}

// ready asks the admin address that all nodes of the docs have.
func ready() bool {
	resp, err := http.Get("http://127.0.0.1:8081/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// answers reports whether somebody listens where all docs have their sites.
func answers() bool {
	resp, err := http.Get("http://127.0.0.1:8080/")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

// registered reports whether the registry lists the nodes that run: a flip waits
// for those alone, and a node is ready a moment before it is listed.
func (s *session) registered() bool {
	out, err := s.run("holdfast status --json")
	var status struct {
		Nodes []struct{} `json:"nodes"`
	}
	return err == nil && json.Unmarshal([]byte(out), &status) == nil && len(status.Nodes) == len(s.jobs)
}

// kill ends the job that was started last, and returns what it printed meanwhile.
func (s *session) kill() (output string, err error) {
	if len(s.jobs) == 0 {
		return "", fmt.Errorf("nothing runs in the background")
	}
	j := s.jobs[len(s.jobs)-1]
	s.jobs = s.jobs[:len(s.jobs)-1]
	before := len(j.output.String())
	if err := j.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return "", fmt.Errorf("%s: %w", j.command, err)
	}
	timer := time.AfterFunc(patience, func() { _ = j.cmd.Process.Kill() })
	defer timer.Stop()
	err = <-j.ended
	return j.output.String()[before:], err
}

// end ends what still runs; it must end well.
func (s *session) end() {
	for len(s.jobs) > 0 {
		command := s.jobs[len(s.jobs)-1].command
		if output, err := s.kill(); err != nil {
			s.t.Errorf("%s ended: %v\n%s", command, err, output)
		}
	}
}

// step does what a console line says.
func (s *session) step(command string) (output string, err error) {
	target, isMake := strings.CutPrefix(command, "make ")
	serving, inBackground := strings.CutSuffix(command, " &")
	switch {
	case isMake:
		return "", hasTarget(target)
	case command == "kill %1":
		return s.kill()
	case inBackground:
		return s.start(serving)
	}
	return s.run(command)
}

func hasTarget(name string) error {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + `:`).Match(makefile) {
		return fmt.Errorf("the Makefile has no target %s", name)
	}
	return nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
