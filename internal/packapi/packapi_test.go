package packapi

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/assembly"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/urls"
)

// fake scans what it is given and remembers it.
type fake struct{ packs []node.Pack }

func (f *fake) Add(ctx context.Context, n assembly.NewPack, links urls.Options) (*assembly.AddedPack, error) {
	s := holdfast.DefaultSettings(n.App)
	b, err := n.Scan(ctx, publish.ScanOptions{Mount: s.Mount, SourceMaps: s.SourceMaps})
	if err != nil {
		return nil, err
	}
	p := node.Pack{App: n.App, Name: n.Name, Release: b.Manifest.Digest().AutoID()}
	f.packs = append(f.packs, p)
	return &assembly.AddedPack{Pack: p, Links: urls.New(links, p.Release, &s, b.Manifest)}, nil
}

func (f *fake) Remove(_ context.Context, _ holdfast.AppName, name holdfast.PackName) error {
	if len(f.packs) == 0 {
		return fmt.Errorf("pack %s: %w", name, holdfast.ErrNotFound)
	}
	f.packs = nil
	return nil
}

func (f *fake) List() []node.Pack { return f.packs }

func call(t *testing.T, a http.Handler, token, method, path, kind string, body io.Reader) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, body)
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", kind)
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil && w.Code != http.StatusMethodNotAllowed {
		t.Errorf("%s %s: %d %q", method, path, w.Code, w.Body)
	}
	return w.Code, v
}

func tarOf(t *testing.T, headers ...tar.Header) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := "text of " + h.Name
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func file(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }

func TestAPI(t *testing.T) {
	temp := t.TempDir()
	a := New("secret", temp)
	if code, _ := call(t, a, "secret", "GET", "/packs", "", nil); code != http.StatusServiceUnavailable {
		t.Errorf("before there is a node: %d", code)
	}
	f := &fake{packs: []node.Pack{}}
	a.Use(f)
	for _, token := range []string{"", "wrong", "secret2"} {
		if code, v := call(t, a, token, "GET", "/packs", "", nil); code != http.StatusUnauthorized || !strings.Contains(fmt.Sprint(v["error"]), "packs-token") {
			t.Errorf("token %q: %d %v", token, code, v)
		}
	}
	code, v := call(t, a, "secret", "PUT", "/packs/shop/chart", "application/x-tar", tarOf(t, file("./js/a.js"), tar.Header{Name: "css/", Typeflag: tar.TypeDir}, file("css/b.css")))
	found, _ := v["urls"].(map[string]any)
	if code != http.StatusOK || v["app"] != "shop" || v["name"] != "chart" || found["js/a.js"] != fmt.Sprintf("/shop/@%s/js/a.js", v["release"]) || len(found) != 2 {
		t.Errorf("%d %v", code, v)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left unpacked: %v %v", left, err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "c.js"), []byte("c"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, v := call(t, a, "secret", "PUT", "/packs/shop/dir", "application/json", strings.NewReader(fmt.Sprintf(`{"dir": %q}`, dir))); code != http.StatusOK {
		t.Errorf("a directory: %d %v", code, v)
	}
	if _, v := call(t, a, "secret", "GET", "/packs", "", nil); len(v["packs"].([]any)) != 2 {
		t.Errorf("%v", v)
	}
	if code, _ := call(t, a, "secret", "DELETE", "/packs/shop/chart", "", nil); code != http.StatusOK {
		t.Errorf("remove: %d", code)
	}
	if code, _ := call(t, a, "secret", "DELETE", "/packs/shop/chart", "", nil); code != http.StatusNotFound {
		t.Errorf("removed twice: %d", code)
	}
}

// TestAPIRefuses: a request that can never be right is 400 and says why.
func TestAPIRefuses(t *testing.T) {
	temp := t.TempDir()
	a := New("secret", temp)
	a.Use(&fake{})
	for name, c := range map[string]struct {
		path, kind string
		body       io.Reader
		why        string
	}{
		"an empty body":       {"/packs/shop/x", "", strings.NewReader(""), "empty"},
		"no tar file":         {"/packs/shop/x", "", strings.NewReader(strings.Repeat("no tar", 1000)), "tar"},
		"a tar file cut off":  {"/packs/shop/x", "", io.LimitReader(tarOf(t, file("a.js")), 515), "tar"},
		"a way out":           {"/packs/shop/x", "", tarOf(t, file("../a.js")), "a.js"},
		"an absolute path":    {"/packs/shop/x", "", tarOf(t, file("/etc/a.js")), "a.js"},
		"a link":              {"/packs/shop/x", "", tarOf(t, tar.Header{Name: "a", Linkname: "/etc", Typeflag: tar.TypeSymlink}), "neither"},
		"one file twice":      {"/packs/shop/x", "", tarOf(t, file("a.js"), file("a.js")), "a.js"},
		"a relative path":     {"/packs/shop/x", "application/json", strings.NewReader(`{"dir": "x"}`), "absolute"},
		"an unknown key":      {"/packs/shop/x", "application/json", strings.NewReader(`{"path": "/x"}`), "path"},
		"a bad app":           {"/packs/-/x", "", tarOf(t, file("a.js")), "app"},
		"a bad name":          {"/packs/shop/null", "", tarOf(t, file("a.js")), "pack name"},
		"a bad identity":      {"/packs/shop/x?identity=-", "", tarOf(t, file("a.js")), "identity"},
		"a name out of range": {"/packs/shop/" + strings.Repeat("x", 65), "", tarOf(t, file("a.js")), "pack name"},
	} {
		code, v := call(t, a, "secret", "PUT", c.path, c.kind, c.body)
		if code != http.StatusBadRequest || !strings.Contains(fmt.Sprint(v["error"]), c.why) {
			t.Errorf("%s: %d %v", name, code, v)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left unpacked: %v %v", left, err)
	}
}

// FuzzUnpack: nothing is written outside the directory, whatever the body is.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte("no tar"))
	f.Fuzz(func(t *testing.T, body []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "in")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_ = unpack(dir, bytes.NewReader(body))
		if all, err := os.ReadDir(above); err != nil || len(all) != 1 {
			t.Errorf("%v %v", all, err)
		}
	})
}
