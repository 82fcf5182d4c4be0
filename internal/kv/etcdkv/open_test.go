package etcdkv_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestParseURL(t *testing.T) {
	for raw, want := range map[string]etcdkv.Config{
		"etcd://h":                           {Endpoints: []string{"h:2379"}, Prefix: "holdfast"},
		"etcd://h1:1,h2/":                    {Endpoints: []string{"h1:1", "h2:2379"}, Prefix: "holdfast"},
		"etcd://10.0.0.1:2379,[::1]:5,[::2]": {Endpoints: []string{"10.0.0.1:2379", "[::1]:5", "[::2]:2379"}, Prefix: "holdfast"},
		"etcd://h/web/prod/":                 {Endpoints: []string{"h:2379"}, Prefix: "web/prod"},
		"etcd://h/web?tls=true":              {Endpoints: []string{"h:2379"}, Prefix: "web", Secure: true},
		"etcd://h?tls=false":                 {Endpoints: []string{"h:2379"}, Prefix: "holdfast"},
	} {
		got, err := etcdkv.ParseURL(raw)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", raw, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(etcdkv.Config{}, "Timeout")); diff != "" {
			t.Errorf("ParseURL(%q) (-want +got):\n%s", raw, diff)
		}
	}
	for _, raw := range []string{
		"", "etcd:", "etcd://", "etcd:///p", "http://h/p", "etcd://h:0", "etcd://h:x", "etcd://h:1:2", "etcd://::1", "etcd://h,,i",
		"etcd://u:hunter2@h/p", "etcd://h/a//b", "etcd://h/a/../b", "etcd://h/ü", "etcd://h?tls=maybe", "etcd://h?tls=true&tls=true",
		"etcd://h?user=x", "etcd://h#x", "etcd://h i", "etcd://h/%zz", "etcd://h?tls=%zz",
	} {
		c, err := etcdkv.ParseURL(raw)
		if !errors.Is(err, kv.ErrInvalid) {
			t.Errorf("ParseURL(%q) = %+v, %v, want ErrInvalid", raw, c, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseURL(%q) shows the password: %v", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"etcd://h1:2379,h2:2379/p?tls=true", "etcd://[::1]:1/a/b", "etcd://u:p@h", "etcd://"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := etcdkv.ParseURL(raw)
		if err != nil {
			return
		}
		if kv.CheckKey(c.Prefix) != nil || len(c.Endpoints) == 0 {
			t.Fatalf("ParseURL(%q) = %+v", raw, c)
		}
		again, err := etcdkv.ParseURL("etcd://" + strings.Join(c.Endpoints, ",") + "/" + c.Prefix)
		if strings.ContainsAny(c.Prefix, "%?#") {
			return // would have to be escaped
		}
		again.Secure = c.Secure
		if diff := cmp.Diff(c, again); err != nil || diff != "" {
			t.Fatalf("ParseURL(%q) does not come back: %v\n%s", raw, err, diff)
		}
	})
}

// wantOpenError opens with a short timeout and requires an error with these words.
func wantOpenError(t *testing.T, c etcdkv.Config, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	d, err := etcdkv.Open(ctx, c)
	if err == nil {
		_ = d.Close()
		t.Errorf("Open succeeded, want an error with %q", words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Open: %v; want %q in it", err, word)
		}
	}
	t.Log(err)
}

// TestOpenUnreachable: the error names each attempt and its result.
func TestOpenUnreachable(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	addr := silent.Addr().String()
	wantOpenError(t, etcdkv.Config{Endpoints: []string{"127.0.0.1:1", addr}},
		"etcd://127.0.0.1:1,"+addr, "127.0.0.1:1: dial tcp 127.0.0.1:1: connect: connection refused", addr+": connected, but no answer")
	wantOpenError(t, etcdkv.Config{Endpoints: []string{"127.0.0.1:1"}, Username: "u", Password: "hunter2"}, "connection refused")
	wantOpenError(t, etcdkv.Config{Endpoints: []string{"127.0.0.1:1"}, Prefix: "a//b"}, "prefix")
}

func TestOpenTLS(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{TLS: true, Certs: true})
	right := etcd.PKI.ClientTLS()
	wantOpenError(t, etcdkv.Config{Endpoints: etcd.Endpoints}, "does it want TLS?")
	wantOpenError(t, etcdkv.Config{Endpoints: etcd.Endpoints, Secure: true}, "TLS: ", "unknown authority")
	noCert := right.Clone()
	noCert.Certificates = nil
	wantOpenError(t, etcdkv.Config{Endpoints: etcd.Endpoints, TLS: noCert}, "client certificate")

	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, TLS: right})
	if _, err := d.Commit(t.Context(), kv.Create("k", nil)); err != nil {
		t.Error(err)
	}
	// A certificate's name is a user name when authentication is on.
	etcd.EnableAuth(t, "client", "unused", "/named/", true)
	named := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, TLS: right, Prefix: "named"})
	if _, err := named.Commit(t.Context(), kv.Create("k", nil)); err != nil {
		t.Error(err)
	}
	wantOpenError(t, etcdkv.Config{Endpoints: etcd.Endpoints, TLS: right, Prefix: "other"}, "/other/")
}

// TestAuth: missing permissions are reported at once, and a login that the cluster forgot
// is renewed without the caller noticing.
func TestAuth(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	before := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, Prefix: "p", Username: "reader", Password: "secret"})
	etcd.EnableAuth(t, "reader", "secret", "/p/", false)
	config := etcdkv.Config{Endpoints: etcd.Endpoints, Prefix: "p", Username: "reader", Password: "secret"}
	wantOpenError(t, config, `user "reader"`, "read and write permission on the prefix /p/")
	wrong := config
	wrong.Password = "hunter2"
	wantOpenError(t, wrong, `user "reader"`, "password")
	wrong.Username, wrong.Password = "", ""
	wantOpenError(t, wrong, "user name")

	// The client is older than the users: it logs in later.
	if _, err := before.Get(t.Context(), "k"); err != nil {
		t.Errorf("Get after authentication was switched on: %v", err)
	}
	receipt, err := before.Commit(t.Context(), kv.Create("k", nil))
	if err == nil || errors.Is(err, kv.ErrUnknown) || errors.Is(err, kv.ErrConflict) {
		t.Errorf("Commit without permission = %v, %v, want a plain failure", receipt, err)
	}
}

func TestLoginRenewed(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	etcd.EnableAuth(t, "holdfast", "secret", "/holdfast/", true)
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, Username: "holdfast", Password: "secret"})
	hints, err := d.Watch(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Lease(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	etcd.Kill(0) // the server keeps tokens in memory
	etcd.Restart(0)
	create(t, d, "d/k", kv.CreateLeased("d/k", nil, l))
	await(t, hints, "the creation after the restart")
	if got, err := d.Get(t.Context(), "d/k"); err != nil || len(got) != 1 {
		t.Errorf("Get after a restart = %v, %v", got, err)
	}
}

// TestRenewalsAreNoLogins: etcd checks passwords slowly, on purpose, so lease renewals
// must not log in each time.
func TestRenewalsAreNoLogins(t *testing.T) {
	t.Parallel()
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	etcd.EnableAuth(t, "holdfast", "secret", "/holdfast/", true)
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, Username: "holdfast", Password: "secret"})
	renewals := func() float64 {
		return etcd.Metric(t, 0, `grpc_server_msg_received_total{grpc_method="LeaseKeepAlive"`)
	}
	logins := func() float64 { return etcd.Metric(t, 0, `grpc_server_started_total{grpc_method="Authenticate"`) }
	if _, err := d.Lease(t.Context(), 6*time.Second); err != nil { // a slow login uses up part of it
		t.Fatal(err)
	}
	awaitCount(t, renewals, 1)
	before := logins()
	awaitCount(t, renewals, 4)
	if n := logins() - before; before < 1 || n != 0 {
		t.Errorf("%v logins before and %v during three renewals, want one or two, and none", before, n)
	}
}

func awaitCount(t *testing.T, count func() float64, want float64) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); count() < want; {
		if time.Now().After(end) {
			t.Fatalf("count is %v, want %v", count(), want)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// create commits the creation of key, which may take several tries while a server
// restarts.
func create(t testing.TB, d *etcdkv.Driver, key string, op kv.Op) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		_, err := d.Commit(ctx, op)
		if err == nil || errors.Is(err, kv.ErrConflict) {
			return
		}
		t.Logf("create %s: %v", key, err)
		if ctx.Err() != nil {
			t.Fatalf("create %s: %v", key, err)
		}
	}
}

func await(t testing.TB, hints <-chan struct{}, what string) {
	t.Helper()
	select {
	case _, ok := <-hints:
		if !ok {
			t.Fatalf("watch ended before %s", what)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("no hint of %s", what)
	}
}
