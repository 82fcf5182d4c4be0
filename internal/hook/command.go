package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// outputMost limits how much output of a command or receiver is kept, from its end.
const outputMost = 4 << 10

// Command is a hook that runs a program. The program gets the event as JSON on standard
// input and as variables in the node's environment. It succeeds with exit code 0.
type Command struct{ Path string }

var _ Action = Command{}

// killWait is how long background processes may hold the output open after the program
// ended or was killed.
const killWait = time.Second

// Run implements Action. When ctx ends, the program's whole process group is killed.
func (c Command) Run(ctx context.Context, d *Delivery) error {
	cmd := exec.CommandContext(ctx, c.Path)
	said := &tail{most: outputMost}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(d.Body), said, said
	cmd.Env = append(os.Environ(), environment(d)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = killWait
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		// It ended normally, and left a background process that holds its output.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended by itself
		err = nil
	}
	if err != nil {
		return &Failure{Reason: err.Error(), Output: said.String()}
	}
	return nil
}

// environment is the event as variables.
func environment(d *Delivery) []string {
	now := ""
	if d.Now {
		now = "1"
	}
	pairs := [][2]string{
		{"EVENT", string(d.Kind)},
		{"EVENT_ID", d.ID},
		{"APP", d.App.String()},
		{"SIDE", d.Side.String()},
		{"RELEASE", d.Release.String()},
		{"PREVIOUS", d.Previous.String()},
		{"TIME", d.Time.UTC().Format(time.RFC3339)},
		{"CHANGE", string(d.Change)},
		{"BY", d.By},
		{"MESSAGE", d.Message},
		{"COMMIT", d.Commit},
		{"BRANCH", d.Branch},
		{"RUN", d.Run},
		{"NOW", now},
		{"CACHE_TAGS", strings.Join(d.CacheTags, " ")},
		{"HOOK", d.Hook.String()},
		{"TRY", strconv.Itoa(d.Try)},
	}
	variables := make([]string, len(pairs))
	for i, p := range pairs {
		variables[i] = fmt.Sprintf("HOLDFAST_%s=%s", p[0], p[1])
	}
	return variables
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	b    []byte
	cut  bool
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > t.most {
		p, t.cut = p[len(p)-t.most:], true
	}
	t.b = append(t.b, p...)
	if over := len(t.b) - t.most; over > 0 {
		t.b, t.cut = append(t.b[:0], t.b[over:]...), true
	}
	return n, nil
}

func (t *tail) String() string {
	text := strings.ToValidUTF8(strings.TrimSpace(string(t.b)), "�")
	if t.cut {
		return "…" + text
	}
	return text
}
