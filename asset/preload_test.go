package asset_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/asset"
)

// TestEarlyHints: over the network, for every protocol and setting: hints come
// ahead where they are of use, and the answer is whole in any case.
func TestEarlyHints(t *testing.T) {
	for _, tt := range []struct {
		name   string
		h2     bool
		o      asset.EarlyHints
		fields map[string]string
		early  bool
	}{
		{"HTTP/2", true, asset.EarlyHintsHTTP2, nil, true},
		{"HTTP/2 navigation", true, asset.EarlyHintsHTTP2, map[string]string{"Sec-Fetch-Mode": "navigate"}, true},
		{"HTTP/2 fetch", true, asset.EarlyHintsHTTP2, map[string]string{"Sec-Fetch-Mode": "cors"}, false},
		{"HTTP/1.1", false, asset.EarlyHintsHTTP2, nil, false},
		{"HTTP/1.1 always", false, asset.EarlyHintsAlways, nil, true},
		{"never", true, asset.EarlyHintsNever, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := open(t, build(), asset.Options{Release: "v7", EarlyHints: tt.o})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := a.Preload(w, r); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(w, "page")
			}))
			server.EnableHTTP2 = tt.h2
			server.StartTLS()
			defer server.Close()
			var early []string
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					if code == http.StatusEarlyHints {
						early = header["Link"]
					}
					return nil
				},
			})
			r, err := http.NewRequestWithContext(ctx, "GET", server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tt.fields {
				r.Header.Set(k, v)
			}
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != 200 || string(body) != "page" || (resp.ProtoMajor == 2) != tt.h2 {
				t.Fatalf("%s %d %q %v", resp.Proto, resp.StatusCode, body, err)
			}
			links := resp.Header["Link"]
			if len(links) != 3 || !strings.HasPrefix(links[0], "</@v7/assets/index-B7c3e9x2.js>; rel=modulepreload; crossorigin; integrity=") {
				t.Errorf("Link: %q", links)
			}
			if !tt.early {
				links = nil
			}
			if diff := cmp.Diff(links, early); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoEarlyHintsForOldClients: HTTP/1.0 knows no answer ahead of the answer.
func TestNoEarlyHintsForOldClients(t *testing.T) {
	a := open(t, build(), asset.Options{EarlyHints: asset.EarlyHintsAlways})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.Preload(w, r); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "page")
	}))
	defer server.Close()
	for _, request := range []string{"GET / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"} {
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn)
		_ = conn.Close()
		if err != nil || strings.Contains(string(text), " 103 ") || !strings.Contains(string(text), "\r\nLink: ") {
			t.Errorf("%q: %q %v", request, text, err)
		}
	}
}

// TestHintsAreBounded: a header that is too long fails the whole page in servers
// in between.
func TestHintsAreBounded(t *testing.T) {
	files, page := map[string]string{}, ""
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		name := strings.Repeat(string(c), 100) + ".js"
		files[name] = string(c)
		page += `<script type=module src=` + name + `></script>`
	}
	files["index.html"] = page
	w := httptest.NewRecorder()
	if err := open(t, mapFS(files), asset.Options{}).Preload(w, httptest.NewRequest("GET", "/", nil)); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, hint := range w.Header()["Link"] {
		size += len(hint)
	}
	if size == 0 || size > 2<<10 {
		t.Errorf("%d bytes of hints", size)
	}
}
