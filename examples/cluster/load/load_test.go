package load

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	page    = "<!doctype html><p>one"
	code    = "console.log(1)\n"
	codeAt  = "app-0a1b2c3d4e.js"
	release = "one"
)

func build(t *testing.T) *Build {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"index.html": page, codeAt: code, codeAt + ".map": "{}", codeAt + ".br": "x", ".hidden": "x",
		".git/config": "x",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := ReadBuild(release, dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadBuild(t *testing.T) {
	b := build(t)
	var paths []string
	for _, f := range b.Files {
		paths = append(paths, f.Path)
		if want := f.Path == codeAt; f.Fingerprinted != want {
			t.Errorf("%s: fingerprinted %v, want %v", f.Path, f.Fingerprinted, want)
		}
	}
	if got := strings.Join(paths, " "); got != codeAt+" index.html" {
		t.Errorf("files %s", got)
	}
	if _, err := ReadBuild(release, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no index.html") {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestLoadCounts: what a node does wrong is counted, as what it is.
func TestLoadCounts(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/"):
			w.Header().Set("X-Deployment-Id", release)
			_, _ = w.Write([]byte(page))
		case strings.HasSuffix(r.URL.Path, ".html"):
			_, _ = w.Write([]byte(page))
		default:
			_, _ = w.Write([]byte(code))
		}
	}
	for _, c := range []struct {
		name  string
		node  http.HandlerFunc
		fault func(Counts) int64 // nil: none
	}{
		{"all well", answer, nil},
		{"absent", http.NotFound, func(c Counts) int64 { return c.NotFound }},
		{"busy", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, func(c Counts) int64 { return c.Other }},
		{"other bytes", func(w http.ResponseWriter, r *http.Request) {
			answer(w, r)
			_, _ = w.Write([]byte(" "))
		}, func(c Counts) int64 { return c.Wrong }},
		{"a page of no release", func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/") {
				answer(w, r)
				return
			}
			w.Header().Set("X-Deployment-Id", "two")
			_, _ = w.Write([]byte(page))
		}, func(c Counts) int64 { return c.Wrong }},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		}, func(c Counts) int64 { return c.Errors }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			const enough = 200
			served := make(chan struct{}, enough)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case served <- struct{}{}:
				default:
					cancel()
				}
				c.node(w, r)
			}))
			defer s.Close()
			l, err := New(Options{Nodes: []string{s.URL}, Builds: []*Build{build(t)}})
			if err != nil {
				t.Fatal(err)
			}
			l.Run(ctx)
			got := l.Counts()
			if got.Requests < enough/2 {
				t.Errorf("%d requests only", got.Requests)
			}
			if c.fault == nil {
				if got.Faults() != 0 || len(l.Firsts()) != 0 {
					t.Errorf("%v, %q", got, l.Firsts())
				}
				return
			}
			if c.fault(got) == 0 || c.fault(got) != got.Faults() || len(l.Firsts()) == 0 {
				t.Errorf("%v, %q", got, l.Firsts())
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{Nodes: []string{"x"}}, {Builds: []*Build{{}}}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) succeeded", o)
		}
	}
}
