package zkkv_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/zkkv"
	"github.com/holdfast-web/holdfast/test/services"
)

// TestServer runs all tests that need one server that stays up.
func TestServer(t *testing.T) {
	t.Parallel()
	z := services.StartZooKeeper(t, services.ZooKeeperOptions{})
	for _, test := range []struct {
		name string
		run  func(*testing.T, *services.ZooKeeper)
	}{
		{"CommandLine", testCommandLine},
		{"PlainText", testPlainText},
		{"Marks", testMarks},
		{"ForeignRecreation", testForeignRecreation},
		{"LeasedRecreation", testLeasedRecreation},
		{"Reads", testReads},
		{"Lasting", testLasting},
		{"GroupSyncs", testGroupSyncs},
		{"Users", testUsers},
		{"Reconnect", testReconnect},
		{"LeaseMoves", testLeaseMoves},
		{"LeaseNeverReturns", testLeaseNeverReturns},
		{"QuorumReads", testQuorumReads},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, z)
		})
	}
}

// foreign is a client that knows nothing of this package.
func foreign(t *testing.T, z *services.ZooKeeper) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect(z.Addresses[:1], 10*time.Second, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		for range events { // until the library's goroutines have ended
		}
	})
	return c
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// testCommandLine: changes made to version nodes with zkCli.sh reach reads and watches.
func testCommandLine(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d := open(t, c.cfg)
	const dir = "data/shop/version"
	commit(t, d, kv.Create(dir+"/main", []byte("v1")))
	hints, err := d.Watch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	at := c.cfg.Root + "/" + dir
	for _, step := range []struct {
		command string
		want    []string
	}{
		{"set %s/main v2", []string{"main=v2"}},
		{"create %s/canary v3", []string{"canary=v3", "main=v2"}},
		{"create %s/empty", []string{"canary=v3", "empty=", "main=v2"}},
		{"delete %s/canary", []string{"empty=", "main=v2"}},
	} {
		drain(hints)
		command := fmt.Sprintf(step.command, at)
		said := z.CLI(t, command)
		awaitHint(t, hints, command)
		var got []string
		keys, _, err := d.List(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range values(t, d, keys...) {
			got = append(got, strings.TrimPrefix(v, dir+"/"))
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("after %s (-want +got):\n%s%s", command, diff, said)
		}
	}
	commit(t, d, kv.Set(dir+"/main", []byte("v4"), entry(t, d, dir+"/main").Token))
	if said := z.CLI(t, "get "+at+"/main", "ls "+at); !strings.Contains(said, "\nv4\n") || !strings.Contains(said, "[empty, main]") {
		t.Errorf("zkCli.sh says:\n%s", said)
	}
}

func drain(hints <-chan struct{}) {
	select {
	case <-hints:
	default:
	}
}

func awaitHint(t *testing.T, hints <-chan struct{}, what string) {
	t.Helper()
	select {
	case _, ok := <-hints:
		if !ok {
			t.Fatalf("watch ended before %s", what)
		}
	case <-time.After(patience):
		t.Fatalf("no hint of %s", what)
	}
}

// testPlainText: a key's data is its value, and a znode made by another client is a key.
func testPlainText(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d, other := open(t, c.cfg), foreign(t, z)
	commit(t, d, kv.Create("data/shop/version/a", []byte("v1")))
	data, _, err := other.Get(c.cfg.Root + "/data/shop/version/a")
	if err != nil || string(data) != "v1" {
		t.Errorf("data = %q, %v", data, err)
	}
	for _, node := range [][2]string{{"data/blog", ""}, {"data/blog/version", ""}, {"data/blog/version/a", "v7\n"}, {"data/blog/version/no key", "x"}} {
		if _, err := other.Create(c.cfg.Root+"/"+node[0], []byte(node[1]), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	keys, _, err := d.List(t.Context(), "data/blog/version")
	if diff := cmp.Diff([]string{"data/blog/version/a"}, keys); diff != "" || err != nil {
		t.Errorf("List (-want +got):\n%s%v", diff, err)
	}
	if got := values(t, d, keys...); !slices.Equal(got, []string{"data/blog/version/a=v7\n"}) {
		t.Errorf("Get = %q", got)
	}
	token := entry(t, d, "data/blog/version/a").Token
	if _, err := other.Set(c.cfg.Root+"/data/blog/version/a", []byte("v8"), -1); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Commit(t.Context(), kv.Set("data/blog/version/a", nil, token)); !errors.Is(err, kv.ErrConflict) {
		t.Errorf("Commit over another client's change: %v", err)
	}
	commit(t, d, kv.Set("data/blog/version/a", []byte("v9"), entry(t, d, "data/blog/version/a").Token))
}

// testMarks: values that look like the data of directories are values.
func testMarks(t *testing.T, z *services.ZooKeeper) {
	d := open(t, clusterIn(z, t).cfg)
	const prefix = "\x00holdfast\x00"
	want := []string{}
	for i, v := range []string{prefix, prefix + "directory", prefix + "value:", prefix + "value:" + prefix + "directory", "\x00holdfast"} {
		key := fmt.Sprintf("m/%d", i)
		commit(t, d, kv.Create(key, []byte(v)))
		commit(t, d, kv.Set(key, []byte(v), entry(t, d, key).Token))
		want = append(want, key+"="+v)
	}
	keys, _, err := d.List(t.Context(), "m")
	if diff := cmp.Diff(want, values(t, d, keys...)); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

// testForeignRecreation: a token from before another client deleted and recreated a key
// does not match, although the versions are the same, at any moment.
func testForeignRecreation(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d, other := open(t, c.cfg), foreign(t, z)
	path := c.cfg.Root + "/v/side"
	commit(t, d, kv.Create("v/side", nil), kv.Create("head", nil))
	for version := range int32(3) {
		recreate(t, other, path, version)
		old := entry(t, d, "v/side").Token
		recreate(t, other, path, version)
		for _, op := range []kv.Op{kv.Set("v/side", nil, old), kv.Check("v/side", old), kv.Delete("v/side", old)} {
			head := entry(t, d, "head").Token
			if _, err := d.Commit(t.Context(), kv.Set("head", nil, head), op); !errors.Is(err, kv.ErrConflict) {
				t.Errorf("%s with the token of another znode: %v", op.Kind, err)
			}
		}
		// The worst moment: after the driver compared the token.
		token := entry(t, d, "v/side").Token
		undo := zkkv.BeforeMulti(d.Driver, func() { recreate(t, other, path, version) })
		if _, err := d.Commit(t.Context(), kv.Set("v/side", []byte("ours"), token)); !errors.Is(err, kv.ErrConflict) {
			t.Errorf("token of a znode that was replaced before the multi: %v", err)
		}
		undo()
	}
	if got := values(t, d, "v/side"); !slices.Equal(got, []string{"v/side=theirs"}) {
		t.Errorf("v/side = %q", got)
	}
}

// recreate makes path a new znode with a version.
func recreate(t *testing.T, c *zk.Conn, path string, version int32) {
	t.Helper()
	if err := c.Delete(path, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(path, []byte("theirs"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	for range version {
		if _, err := c.Set(path, []byte("theirs"), -1); err != nil {
			t.Fatal(err)
		}
	}
}

// testLeasedRecreation: a check of a leased key fails when another lease has created a
// key of the same name, so a leader that lost its key cannot act on it.
func testLeasedRecreation(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	one, two := open(t, c.cfg), open(t, c.cfg)
	lead := func(d client) kv.Lease {
		l, err := d.Lease(t.Context(), c.TTL())
		if err != nil {
			t.Fatal(err)
		}
		commit(t, d, kv.CreateLeased("leader", []byte("me"), l))
		return l
	}
	l := lead(one)
	token := entry(t, one, "leader").Token
	takeOver := func() {
		if l != nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			lead(two)
			l = nil
		}
	}
	undo := zkkv.BeforeMulti(one.Driver, takeOver)
	defer undo()
	for range 2 { // first between comparison and multi, then long after
		if _, err := one.Commit(t.Context(), kv.Check("leader", token), kv.Create("act", nil)); !errors.Is(err, kv.ErrConflict) {
			t.Errorf("Commit of a leader that is not: %v", err)
		}
	}
	if got := values(t, one, "act"); len(got) != 0 {
		t.Errorf("it did %q", got)
	}
}

// testReads counts the cost of a change for a node that watches: one read per changed
// key, and one sync per later call.
func testReads(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	writer, node := open(t, c.cfg), open(t, c.cfg)
	commit(t, writer, kv.Create("head/shop", nil), kv.Create("data/shop/version/a", []byte("v0")), kv.Create("data/shop/version/b", nil))
	heads, err := node.Watch(t.Context(), "head")
	if err != nil {
		t.Fatal(err)
	}
	versions, err := node.Watch(t.Context(), "data/shop/version")
	if err != nil {
		t.Fatal(err)
	}
	refresh := func() {
		for _, dir := range []string{"head", "data/shop/version"} {
			keys, _, err := node.List(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			values(t, node, keys...)
		}
	}
	flip := func(i int) {
		drain(heads)
		drain(versions)
		commit(t, writer, kv.Set("head/shop", nil, entry(t, writer, "head/shop").Token),
			kv.Set("data/shop/version/a", fmt.Append(nil, i), entry(t, writer, "data/shop/version/a").Token))
		awaitHint(t, heads, "the head")
		awaitHint(t, versions, "the version")
		refresh()
		if got := values(t, node, "data/shop/version/a"); got[0] != fmt.Sprintf("data/shop/version/a=%d", i) {
			t.Fatalf("flip %d: %q", i, got)
		}
	}
	for i := range 10 { // tokens leave the young range: see the package comment
		flip(i)
	}
	before := node.Stats()
	const flips = 20
	for i := range flips {
		flip(100 + i)
	}
	after := node.Stats()
	if reads := after.Reads - before.Reads; reads > 2*flips {
		t.Errorf("%d reads for %d flips, want at most 2 each", reads, flips)
	}
	if syncs := after.Syncs - before.Syncs; syncs != 5*flips {
		t.Errorf("%d syncs for %d calls", syncs, 5*flips)
	}
}

// testGroupSyncs: a group syncs once per connection, since another server may lag behind
// the group's reads.
func testGroupSyncs(t *testing.T, z *services.ZooKeeper) {
	d := open(t, clusterIn(z, t).cfg)
	commit(t, d, kv.Create("d/k", []byte("v")))
	group := kv.Group(d.Driver)
	for range 3 {
		before := d.Stats()
		for range 4 {
			if _, err := group.Get(t.Context(), "d/k"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := group.List(t.Context(), "d"); err != nil {
				t.Fatal(err)
			}
		}
		if syncs := d.Stats().Syncs - before.Syncs; syncs != 1 {
			t.Errorf("%d syncs over one connection", syncs)
		}
		d.network.reset()
		for d.Stats().Sessions == before.Sessions {
			values(t, d, "d/k")
		}
	}
}

func testUsers(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	ours := c.cfg
	ours.Auth = zkkv.Auth{User: "holdfast", Password: "se:cret"}
	d := open(t, ours)
	commit(t, d, kv.Create("data/k", []byte("v")))
	l, err := d.Lease(t.Context(), c.TTL())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d, kv.CreateLeased("node/n", nil, l))
	commit(t, open(t, ours), kv.Set("data/k", []byte("w"), entry(t, d, "data/k").Token), kv.Create("node/m", nil))

	wrong := ours
	wrong.Auth.Password = "guess"
	for name, test := range map[string]struct {
		cfg  zkkv.Config
		want string
	}{
		"nobody":       {c.cfg, "give the credentials"},
		"somebody":     {wrong, "does not admit user holdfast"},
		"below a file": {zkkv.Config{Servers: z.Addresses, Root: c.cfg.Root + "/data/k"}, "not authenticated"},
	} {
		_, err := zkkv.Open(t.Context(), test.cfg)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "cret") {
			t.Errorf("Open as %s: %v, want %q", name, err, test.want)
		}
	}
	world := ours
	world.Root, world.WorldReadable = c.cfg.Root+"-world", true
	commit(t, open(t, world), kv.Create("data/k", []byte("v")))
	reader := world
	reader.Auth = zkkv.Auth{}
	r := open(t, reader)
	if got := values(t, r, "data/k"); !slices.Equal(got, []string{"data/k=v"}) {
		t.Errorf("a reader sees %q", got)
	}
	for _, op := range []kv.Op{kv.Set("data/k", nil, entry(t, r, "data/k").Token), kv.Create("data/l", nil), kv.Create("more/l", nil)} {
		_, err := r.Commit(t.Context(), op)
		if err == nil || !strings.Contains(err.Error(), "give the credentials") || !strings.Contains(err.Error(), world.Root) {
			t.Errorf("%s by a reader: %v", op.Kind, err)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	z := services.StartZooKeeper(t, services.ZooKeeperOptions{TLS: true})
	c := clusterIn(z, t)
	plain := open(t, c.cfg)
	c.cfg.Servers, c.cfg.TLS = []string{z.Secure}, z.PKI.ClientTLS()
	d := open(t, c.cfg)
	commit(t, d, kv.Create("k", []byte("over TLS")))
	l, err := d.Lease(t.Context(), c.TTL())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d, kv.CreateLeased("l", nil, l))
	if got := values(t, plain, "k", "l"); !slices.Equal(got, []string{"k=over TLS", "l="}) {
		t.Errorf("Get = %q", got)
	}
	stranger := services.NewPKI(t).ClientTLS()
	for want, cfg := range map[string]zkkv.Config{
		"certificate": {Servers: []string{z.Secure}, Root: c.cfg.Root, TLS: stranger},
		z.Secure:      {Servers: []string{z.Secure}, Root: c.cfg.Root}, // without TLS
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if _, err := zkkv.Open(ctx, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open: %v, want %q", err, want)
		}
		cancel()
	}
}

// testReconnect: a client whose connection is cut connects to another server. Its watches
// then give a hint, and continue.
func testReconnect(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d, other := open(t, c.cfg), open(t, c.cfg)
	commit(t, d, kv.Create("d/k", nil))
	hints, err := d.Watch(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		drain(hints)
		d.network.setCut(true)
		commit(t, other, kv.Set("d/k", []byte("missed"), entry(t, other, "d/k").Token))
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		for call, err := range map[string]error{"Get": second(d.Get(ctx, "d/k")), "Commit": second(d.Commit(ctx, kv.Create("d/new", nil)))} {
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s over a cut cable: %v", call, err)
			}
		}
		cancel()
		d.network.setCut(false)
		awaitHint(t, hints, "the reconnection")
		if got := values(t, d, "d/k"); !slices.Equal(got, []string{"d/k=missed"}) {
			t.Errorf("Get = %q", got)
		}
		drain(hints)
		commit(t, other, kv.Set("d/k", nil, entry(t, other, "d/k").Token))
		awaitHint(t, hints, "a change after the reconnection")
	}
}

func second[T any](_ T, err error) error { return err }

// testLeaseMoves: a lease outlives its connections.
func testLeaseMoves(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d := open(t, c.cfg)
	l, err := d.Lease(t.Context(), 2*c.TTL())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d, kv.CreateLeased("n/1", nil, l))
	d.network.reset()
	commit(t, d, kv.CreateLeased("n/2", nil, l))
	select {
	case <-l.Done():
		t.Error("the lease was lost with the connection")
	default:
	}
	if got := values(t, d, "n/1", "n/2"); len(got) != 2 {
		t.Errorf("Get = %q", got)
	}
}

// testLeaseNeverReturns: a lease that was cut off ends before its keys do, and neither
// comes back.
func testLeaseNeverReturns(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	d, other := open(t, c.cfg), open(t, c.cfg)
	l, err := d.Lease(t.Context(), c.TTL())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, d, kv.CreateLeased("n/1", nil, l))
	hints, err := other.Watch(t.Context(), "n")
	if err != nil {
		t.Fatal(err)
	}
	drain(hints)
	d.network.setCut(true)
	select {
	case <-l.Done():
	case <-time.After(patience):
		t.Fatal("Done is still open")
	}
	if got := values(t, other, "n/1"); len(got) != 1 {
		t.Error("the key went before its holder knew")
	}
	d.network.setCut(false)
	for len(values(t, other, "n/1")) > 0 {
		awaitHint(t, hints, "the end of the key")
	}
	if _, err := d.Commit(t.Context(), kv.CreateLeased("n/2", nil, l)); !errors.Is(err, kv.ErrLeaseLost) {
		t.Errorf("Commit under a lost lease: %v", err)
	}
	commit(t, d, kv.Create("n/3", nil))
	if keys, _, err := other.List(t.Context(), "n"); err != nil || !slices.Equal(keys, []string{"n/3"}) {
		t.Errorf("List = %q, %v", keys, err)
	}
}

func testQuorumReads(t *testing.T, z *services.ZooKeeper) {
	c := clusterIn(z, t)
	c.cfg.QuorumReads = true
	d := open(t, c.cfg)
	commit(t, d, kv.Create("k", []byte("v")))
	before := d.Stats()
	if got := values(t, d, "k"); !slices.Equal(got, []string{"k=v"}) {
		t.Errorf("Get = %q", got)
	}
	if after := d.Stats(); after.Multis != before.Multis+1 || after.Syncs != before.Syncs {
		t.Errorf("a quorum read took %+v, before %+v", after, before)
	}
}

// TestUnreachable: the error says in time what was tried.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	servers := []string{silent.Addr().String(), refusing.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = zkkv.Open(ctx, zkkv.Config{Servers: servers, Root: "/t", SessionTimeout: time.Second})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Open: %v", err)
	}
	for _, want := range []string{servers[0] + " (", servers[1] + " (", "connection refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("Open: %v, want %q", err, want)
		}
	}
}
