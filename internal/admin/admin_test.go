package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHandler(t *testing.T) {
	ready := Status{Ready: true, Revision: 7}
	loading := Status{Reason: "a release of app shop is being loaded"}
	for _, c := range []struct {
		method, path string
		status       Status
		code         int
		body         string // "" when it is net/http's own
	}{
		{"GET", "/healthz", ready, 200, `{"ok":true}` + "\n"},
		{"GET", "/healthz", loading, 200, `{"ok":true}` + "\n"},
		{"GET", "/readyz", ready, 200, `{"ready":true,"revision":7}` + "\n"},
		{"GET", "/readyz", loading, 503, `{"ready":false,"reason":"a release of app shop is being loaded"}` + "\n"},
		{"GET", "/readyz?verbose", ready, 200, `{"ready":true,"revision":7}` + "\n"},
		{"POST", "/healthz", ready, 405, ""},
		{"POST", "/readyz", ready, 405, ""},
		{"GET", "/", ready, 404, ""},
		{"GET", "/readyz/", ready, 404, ""},
		{"GET", "/app.js", ready, 404, ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			Handler(func() Status { return c.status }, nil, nil).ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
			if w.Code != c.code {
				t.Errorf("status %d, want %d", w.Code, c.code)
			}
			if c.body == "" {
				return
			}
			if diff := cmp.Diff(c.body, w.Body.String()); diff != "" {
				t.Error(diff)
			}
			want := http.Header{"Cache-Control": {"no-store"}, "Content-Type": {"application/json"}}
			if diff := cmp.Diff(want, w.Result().Header); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEachRequestAsksAnew: a load balancer must see the change at once, and a
// question about life must not depend on the answer to that about readiness.
func TestEachRequestAsksAnew(t *testing.T) {
	var asked int
	s := httptest.NewServer(Handler(func() Status {
		asked++
		return Status{Ready: asked > 1}
	}, nil, nil))
	defer s.Close()
	code := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if got, _ := code("GET", "/healthz"); got != 200 || asked != 0 {
		t.Errorf("life: %d, asked %d times for readiness; want 200, 0", got, asked)
	}
	for i, want := range []int{503, 200, 200} {
		got, body := code("GET", "/readyz")
		var s Status
		if err := json.Unmarshal([]byte(body), &s); err != nil || got != want || s.Ready != (want == 200) {
			t.Errorf("question %d: %d %s (%v), want %d", i, got, body, err, want)
		}
	}
	if got, body := code("HEAD", "/readyz"); got != 200 || body != "" {
		t.Errorf("HEAD: %d %q, want 200 and nothing", got, body)
	}
}
