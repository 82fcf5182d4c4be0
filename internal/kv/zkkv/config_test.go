package zkkv_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
)

func TestParseURL(t *testing.T) {
	type parsed struct {
		Servers       []string
		Root          string
		Session       time.Duration
		TLS           bool
		World, Quorum bool
	}
	for url, want := range map[string]parsed{
		"zk://a/t":                                {[]string{"a:2181"}, "/t", 6 * time.Second, false, false, false},
		"zk://h1:2181,h2:2182/web/shops/":         {[]string{"h1:2181", "h2:2182"}, "/web/shops", 6 * time.Second, false, false, false},
		"zk://[::1]:99,[fe80::2]/t?session=2s":    {[]string{"[::1]:99", "[fe80::2]:2181"}, "/t", 2 * time.Second, false, false, false},
		"zk://a/t?tls=on&readable=world":          {[]string{"a:2181"}, "/t", 6 * time.Second, true, true, false},
		"zk://a/t?reads=quorum&session=1m&tls=on": {[]string{"a:2181"}, "/t", time.Minute, true, false, true},
	} {
		c, err := zkkv.ParseURL(url)
		got := parsed{c.Servers, c.Root, c.SessionTimeout, c.TLS != nil, c.WorldReadable, c.QuorumReads}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseURL(%s): %v (-want +got):\n%s", url, err, diff)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"http://a/t":                     "does not begin with zk://",
		"zk://":                          "want host:port",
		"zk:///t":                        "want host:port",
		"zk://a,,b/t":                    "want host:port",
		"zk://a:/t":                      "want host:port",
		"zk://a":                         "want /topology",
		"zk://a/":                        "want /topology",
		"zk://a/t//u":                    "want /topology",
		"zk://a/../t":                    "want /topology",
		"zk://u:secret@a/t":              "credentials",
		"zk://a/t?session=1":             "want a duration",
		"zk://a/t?session=1ms":           "want 500ms",
		"zk://a/t?session=2s&session=3s": "twice",
		"zk://a/t?tls=maybe":             "not known",
		"zk://a/t?auth=x":                "not known",
		"zk://a/t?%zz":                   "options",
	} {
		_, err := zkkv.ParseURL(url)
		if !errors.Is(err, kv.ErrInvalid) || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("ParseURL(%s): %v, want %q", url, err, want)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, url := range []string{
		"zk://a/t", "zk://h1:2181,h2/a/b?session=3s&tls=on", "zk://[::1]:2181/t", "zk://u:p@h/t", "zk://a/t?x", "zk:///", "zk://a:b:c/t",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		c, err := zkkv.ParseURL(url)
		if err != nil {
			if !errors.Is(err, kv.ErrInvalid) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		again, err := zkkv.ParseURL("zk://" + strings.Join(c.Servers, ",") + c.Root)
		if err != nil || !cmp.Equal(again.Servers, c.Servers) || again.Root != c.Root {
			t.Errorf("%q became %q %q, and that %q %q, %v", url, c.Servers, c.Root, again.Servers, again.Root, err)
		}
	})
}

// TestAuthStaysSecret: no way of formatting shows the password.
func TestAuthStaysSecret(t *testing.T) {
	auth, err := zkkv.ParseAuth("holdfast:pass:word")
	if err != nil || auth != (zkkv.Auth{User: "holdfast", Password: "pass:word"}) {
		t.Fatalf("ParseAuth = %v, %v", auth, err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "auth", auth)
	cfg := zkkv.Config{Auth: auth}
	for _, text := range []string{fmt.Sprint(auth), fmt.Sprintf("%+v", auth), fmt.Sprintf("%#v", auth), fmt.Sprintf("%+v", cfg), fmt.Sprintf("%#v", cfg), log.String()} {
		if strings.Contains(text, "word") || !strings.Contains(text, "holdfast") {
			t.Errorf("printed: %s", text)
		}
	}
	for _, bad := range []string{"", "user", ":password"} {
		if _, err := zkkv.ParseAuth(bad); !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("ParseAuth(%q): %v", bad, err)
		}
	}
}
