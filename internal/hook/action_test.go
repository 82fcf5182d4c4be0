package hook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tag(app holdfast.AppName, id holdfast.ReleaseID) string { return app.String() + "@" + id.String() }

// delivery is the first try of an event.
func delivery(t testing.TB, change func(*registry.Event)) *Delivery {
	t.Helper()
	e := registry.Event{
		ID: "8b1f", Kind: registry.EventActivate, App: holdtest.App("shop"), Side: holdtest.Must(holdfast.ParseSide("main")),
		Release: holdtest.ID("two"), Previous: holdtest.ID("one"),
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Reason: registry.Reason{By: "me\x00@\nhome"},
	}
	if change != nil {
		change(&e)
	}
	return holdtest.Must(New(Options{Tag: tag}).delivery(e, holdtest.Must(holdfast.ParseHookName("purge")), 1))
}

// script makes a hook of shell lines.
func script(t testing.TB, lines string) Command {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Command{path}
}

// The JSON form is a contract with receivers (docs/hooks.md).
func TestBody(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*registry.Event)
		want   string
	}{
		"activate": {nil, `{"id":"8b1f","event":"activate","app":"shop","side":"main","release":"two","previous":"one",` +
			`"time":"2026-03-01T12:00:00Z","by":"me@home","cacheTags":["shop@one"]}`},
		"the first one": {func(e *registry.Event) { e.Previous = holdfast.ReleaseID{} }, `{"id":"8b1f","event":"activate","app":"shop","side":"main","release":"two",` +
			`"time":"2026-03-01T12:00:00Z","by":"me@home","cacheTags":[]}`},
		"retire": {withdrawn(registry.EventRetire), `{"id":"8b1f","event":"retire","app":"shop","release":"two","time":"2026-03-01T12:00:00Z","by":"me@home","cacheTags":["shop@two"]}`},
		"retire now": {func(e *registry.Event) { withdrawn(registry.EventRetire)(e); e.Now = true }, `{"id":"8b1f","event":"retire","app":"shop","release":"two",` +
			`"time":"2026-03-01T12:00:00Z","by":"me@home","now":true,"cacheTags":["shop@two","shop"]}`},
		"gone": {withdrawn(registry.EventGone), `{"id":"8b1f","event":"gone","app":"shop","release":"two","time":"2026-03-01T12:00:00Z","by":"me@home","cacheTags":["shop@two"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, string(delivery(t, c.change).Body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func withdrawn(k registry.EventKind) func(*registry.Event) {
	return func(e *registry.Event) { e.Kind, e.Side, e.Previous = k, holdfast.Side{}, holdfast.ReleaseID{} }
}

func TestCommandGetsTheEvent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("HOLDFAST_SIDE", "of the node")
	t.Setenv("OUT", out)
	t.Setenv("NAMES", "EVENT|EVENT_ID|APP|SIDE|RELEASE|PREVIOUS|TIME|BY|NOW|CACHE_TAGS|HOOK|TRY") // those of docs/hooks.md
	c := script(t, `cat >"$OUT.body"; env | grep -E "^HOLDFAST_($NAMES)=" | sort >"$OUT"`)
	d := delivery(t, nil)
	if err := c.Run(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if got := string(holdtest.Must(os.ReadFile(out + ".body"))); got != string(d.Body) {
		t.Errorf("standard input is %s", got)
	}
	want := `HOLDFAST_APP=shop
HOLDFAST_BY=me@home
HOLDFAST_CACHE_TAGS=shop@one
HOLDFAST_EVENT=activate
HOLDFAST_EVENT_ID=8b1f
HOLDFAST_HOOK=purge
HOLDFAST_NOW=
HOLDFAST_PREVIOUS=one
HOLDFAST_RELEASE=two
HOLDFAST_SIDE=main
HOLDFAST_TIME=2026-03-01T12:00:00Z
HOLDFAST_TRY=1
`
	if diff := cmp.Diff(want, string(holdtest.Must(os.ReadFile(out)))); diff != "" {
		t.Error(diff)
	}
}

func TestCommandFails(t *testing.T) {
	for name, c := range map[string]struct{ lines, reason, output string }{
		"exit code":               {"echo out; echo err >&2; exit 3", "exit status 3", "out\nerr"},
		"much output":             {"yes hold | head -c 3000000; echo the end; exit 1", "exit status 1", "hold\nthe end"},
		"no text":                 {`printf 'a\377b'; exit 1`, "exit status 1", "a�b"},
		"does not read its input": {"exec <&-; exit 1", "exit status 1", ""},
		"killed":                  {"kill -9 $$", "signal: killed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var f *Failure
			err := script(t, c.lines).Run(t.Context(), delivery(t, nil))
			if !errors.As(err, &f) || f.Reason != c.reason || !strings.HasSuffix(f.Output, c.output) || len(f.Output) > outputMost+10 {
				t.Errorf("%v, %q", err, output(err))
			}
		})
	}
	if err := (Command{filepath.Join(t.TempDir(), "none")}).Run(t.Context(), delivery(t, nil)); !strings.Contains(reason(err), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

// A hanging command is killed with all its children.
func TestHangingCommandIsKilled(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	if err := syscall.Mkfifo(pids, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PIDS", pids)
	c := script(t, `sleep 1000 & echo "$! $$" >"$PIDS"; wait`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, delivery(t, nil)) }()
	started := strings.Fields(string(holdtest.Must(os.ReadFile(pids)))) // waits for the writer
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended well")
	}
	if len(started) != 2 {
		t.Fatalf("started %q", started)
	}
	for _, text := range started {
		for pid := holdtest.Must(strconv.Atoi(text)); runs(pid); {
			time.Sleep(time.Millisecond) // until its parent, or init, has noticed
		}
	}
}

// runs reports whether a process exists and is not a zombie.
func runs(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return syscall.Kill(pid, 0) == nil && !errors.Is(err, os.ErrNotExist)
	}
	return !strings.Contains(string(stat), ") Z ")
}

// A process left in the background does not delay the hook.
func TestCommandLeavesSomethingBehind(t *testing.T) {
	if err := script(t, "sleep 1000 &").Run(t.Context(), delivery(t, nil)); err != nil {
		t.Error(err)
	}
}

func TestWebhook(t *testing.T) {
	secret := make([]byte, 32)
	var elsewhere int
	mux := http.NewServeMux()
	d := delivery(t, nil)
	mux.HandleFunc("POST /good", func(w http.ResponseWriter, r *http.Request) {
		body := holdtest.Must(io.ReadAll(r.Body))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(r.Header.Get("Webhook-Id") + "." + r.Header.Get("Webhook-Timestamp") + "." + string(body)))
		if r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) || string(body) != string(d.Body) ||
			r.Header.Get("Webhook-Id") != d.ID || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Holdfast-Try") != "1" {
			http.Error(w, "not what was expected", http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /unsigned", func(w http.ResponseWriter, r *http.Request) {
		if _, signed := r.Header["Webhook-Signature"]; signed {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("POST /redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere++ })
	mux.HandleFunc("POST /wrong", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no such token", http.StatusForbidden) })
	mux.HandleFunc("POST /endless", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	signed := "whsec_" + base64.StdEncoding.EncodeToString(secret)
	for path, c := range map[string]struct{ secret, reason, output string }{
		"/good":     {signed, "", ""},
		"/unsigned": {"", "", ""},
		"/redirect": {signed, "the answer is 307, and redirects are not followed", ""},
		"/wrong":    {signed, "the answer is 403", "no such token"},
		"/endless":  {signed, "the answer is 500", ""},
		"/unknown":  {"", "the answer is 404", "404 page not found"},
	} {
		err := holdtest.Must(NewWebhook(server.URL+path, c.secret)).Run(t.Context(), d)
		if got := errorText(err); got != c.reason || !strings.HasSuffix(strings.Trim(output(err), "\x00"), c.output) {
			t.Errorf("%s: %q, %q", path, got, output(err))
		}
	}
	if elsewhere > 0 {
		t.Error("the redirect was followed")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// An error does not contain the URL, which may include a secret.
func TestWebhookKeepsItsURL(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	err := holdtest.Must(NewWebhook(server.URL+"/T0P/S3CRET", "")).Run(t.Context(), delivery(t, nil))
	if err == nil || strings.Contains(err.Error(), "S3CRET") {
		t.Error(err)
	}
	hang := make(chan struct{})
	server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = holdtest.Must(NewWebhook(server.URL+"/S3CRET", "")).Run(ctx, delivery(t, nil))
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "S3CRET") {
		t.Error(err)
	}
}

func TestDir(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o755, "plain": 0o644, "both": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	secret := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24))
	for name, text := range map[string]string{
		"both.url": "https://example.com/", "post.url": " https://example.com/x \n", "local.url": "http://127.0.0.1:1/", "local6.url": "http://[::1]:1/",
		"clear.url": "http://example.com/", "file.url": "file:///etc/passwd", "none.url": "\n",
		"signed.url": "https://example.com/", "signed.secret": secret + "\n",
		"weak.url": "https://example.com/", "weak.secret": "hunter2", "empty.url": "https://example.com/", "empty.secret": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"run": "", "post": "", "local": "", "local6": "", "signed": "",
		"plain": "no executable file", "sub": "no executable file", "both": "both ", "missing": "there is neither", "clear": "in the clear",
		"file": "no URL", "none": "no URL", "weak": "the secret is not", "empty": "it is empty",
	} {
		action, err := Dir{dir}.Find(holdtest.Must(holdfast.ParseHookName(name)))
		switch {
		case want == "" && (err != nil || action == nil):
			t.Errorf("%s: %v", name, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", name, err, want)
		case want != "" && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the error tells the secret: %v", name, err)
		}
	}
	if action := holdtest.Must(Dir{dir}.Find(holdtest.Must(holdfast.ParseHookName("run")))).(Command); !filepath.IsAbs(action.Path) {
		t.Errorf("%+v", action)
	}
	if _, err := (Dir{}).Find(holdtest.Must(holdfast.ParseHookName("run"))); !errors.Is(err, holdfast.ErrNotFound) {
		t.Error(err)
	}
}

// For any output, its end is kept.
func FuzzTail(f *testing.F) {
	f.Add([]byte("some text"), 3, 4)
	f.Fuzz(func(t *testing.T, text []byte, step, most int) {
		if step < 1 || most < 1 || most > 1<<16 {
			t.Skip()
		}
		kept := &tail{most: most}
		for rest := text; len(rest) > 0; {
			n := min(step, len(rest))
			if got, err := kept.Write(rest[:n]); got != n || err != nil {
				t.Fatal(got, err)
			}
			rest = rest[n:]
		}
		if want := text[max(0, len(text)-most):]; string(kept.b) != string(want) || kept.cut != (len(text) > most) {
			t.Errorf("kept %q of %q", kept.b, text)
		}
	})
}
