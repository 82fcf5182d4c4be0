package etcdkv_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/etcdkv"
	"github.com/holdfast-web/holdfast/internal/kv/kvtest"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a prefix on a server that the tests share.
type cluster struct{ config etcdkv.Config }

func (c cluster) Open(t testing.TB) kvtest.Client { return open(t, c.config) }

func (c cluster) Vanish(_ testing.TB, client kvtest.Client) { etcdkv.Vanish(client.(*etcdkv.Driver)) }

func (c cluster) TTL() time.Duration { return 3 * time.Second }

func TestConformance(t *testing.T) {
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	t.Run("Suite", func(t *testing.T) {
		kvtest.Run(t, func(t *testing.T) kvtest.Cluster {
			return cluster{etcdkv.Config{Endpoints: etcd.Endpoints, Prefix: strings.ReplaceAll(t.Name(), "_", "-")}}
		})
	})
}

// TestConformanceTLS runs the suite over TLS with a password-authenticated user that has
// no access outside the prefix.
func TestConformanceTLS(t *testing.T) {
	etcd := services.StartEtcd(t, services.EtcdOptions{TLS: true})
	etcd.EnableAuth(t, "holdfast", "secret", "/tls/", true)
	t.Run("Suite", func(t *testing.T) {
		kvtest.Run(t, func(t *testing.T) kvtest.Cluster {
			return cluster{etcdkv.Config{
				Endpoints: etcd.Endpoints, Prefix: "tls/" + t.Name(),
				Username: "holdfast", Password: "secret", TLS: etcd.PKI.ClientTLS(),
			}}
		})
	})
}

// open connects to a cluster; the end of the test disconnects.
func open(t testing.TB, c etcdkv.Config) *etcdkv.Driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	d, err := etcdkv.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// quiet is a logger that formats and discards.
func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestLayout(t *testing.T) {
	for key, want := range map[string]string{
		"a": "/p//a", "a/b": "/p/a//b", "a/b/c": "/p/a/b//c",
	} {
		if got := etcdkv.EtcdKey("p", key); got != want {
			t.Errorf("key %s lies at %s, want %s", key, got, want)
		}
	}
}

// TestManyKeys: more keys than fit into one etcd request are still one snapshot, while
// another client changes them.
func TestManyKeys(t *testing.T) {
	etcd := services.StartEtcd(t, services.EtcdOptions{})
	d := open(t, etcdkv.Config{Endpoints: etcd.Endpoints, Logger: quiet()})
	const n = 250
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("m/%03d", i)
		if _, err := d.Commit(t.Context(), kv.Create(keys[i], []byte("0"))); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error)
	go func() { done <- turn(t.Context(), d, keys[0], keys[n-1]) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		entries, err := d.Get(t.Context(), keys...)
		if err != nil || len(entries) != n {
			t.Fatalf("Get of %d keys = %d, %v", n, len(entries), err)
		}
		if first, last := entries[0], entries[n-1]; string(first.Value) != string(last.Value) {
			t.Fatalf("one Get saw %s and %s, which were written together", first.Value, last.Value)
		}
	}
}

// turn changes two keys together, again and again.
func turn(ctx context.Context, d *etcdkv.Driver, a, b string) error {
	for i := range 200 {
		entries, err := d.Get(ctx, a, b)
		if err != nil {
			return err
		}
		value := []byte(fmt.Sprint(i + 1))
		if _, err := d.Commit(ctx, kv.Set(a, value, entries[0].Token), kv.Set(b, value, entries[1].Token)); err != nil {
			return err
		}
	}
	return nil
}
