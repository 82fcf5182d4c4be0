package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv/sqlitekv"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/dirstore"
)

// BenchmarkStart measures how long a node takes from its start until /readyz
// says 200, and the memory it then holds, when the registry knows of many
// releases of 400 files, a tenth of which change from one to the next.
func BenchmarkStart(b *testing.B) {
	program := filepath.Join(b.TempDir(), "holdfast")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/holdfast").CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("releases=%d", n), func(b *testing.B) {
			data := filepath.Join(b.TempDir(), "data")
			fill(b, data, n)
			var resident int64
			for b.Loop() {
				resident = start(b, program, data)
			}
			b.ReportMetric(float64(resident)/(1<<20), "MiB-resident")
		})
	}
}

// start runs a node until it is ready and returns its resident bytes.
func start(b *testing.B, program, data string) int64 {
	b.Helper()
	listen, admin := address(b), address(b)
	cmd := exec.Command(program, "--data", data, "serve", "--listen", listen, "--admin", admin)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		b.StopTimer()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Errorf("node: %v", err)
		}
		b.StartTimer()
	}()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return residentBytes(b, cmd.Process.Pid)
		}
	}
	b.Fatal("not ready within a minute")
	return 0
}

func residentBytes(b *testing.B, pid int) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Skipf("no resident size on this system: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

func address(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fill publishes n releases as records, manifests and inventories; nobody asks
// for their bytes here. Every tenth was live once, the last one is.
func fill(b *testing.B, data string, n int) {
	b.Helper()
	check := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	check(os.MkdirAll(data, 0o755))
	kv, err := sqlitekv.Open(ctx, filepath.Join(data, "registry.db"), sqlitekv.Options{})
	check(err)
	defer kv.Close()
	reg, err := registry.Open(ctx, kv, registry.Options{})
	check(err)
	driver, err := dirstore.Open(ctx, filepath.Join(data, "store"), dirstore.Options{})
	check(err)
	st := store.New(driver)
	check(st.Claim(ctx, reg.ID()))
	for i := range n {
		m, inv := build(b, i)
		check(st.PutManifest(ctx, m))
		check(st.PutInventory(ctx, inv))
		id := holdtest.ID(fmt.Sprintf("r%d", i))
		holdtest.AddRelease(b, reg, holdfast.Release{
			App: holdfast.DefaultApp(), ID: id, Manifest: m.Digest(), Inventory: inv.Digest(), Files: len(m.Files()), Bytes: m.Size(),
		})
		if i%10 == 0 || i == n-1 {
			_, _, err = reg.Activate(ctx, holdfast.DefaultApp(), id, registry.ActivateOptions{})
			check(err)
		}
	}
}

// build is the i-th of a row of builds: 400 hashed files, 40 of them new.
func build(b *testing.B, i int) (*holdfast.Manifest, *holdfast.Inventory) {
	b.Helper()
	var files []holdfast.File
	var objects []holdfast.Object
	for j := range 400 {
		changed := (i + 9 - j%10) / 10 // each file changes every tenth release
		d := holdfast.DigestOf(fmt.Appendf(nil, "%d %d", j, changed))
		logical := fmt.Sprintf("assets/part%d-*.js", j)
		files = append(files, holdfast.File{
			Path: strings.Replace(logical, "*", d.String()[:10], 1), Logical: logical,
			Digest: d, Size: 1000, MediaType: "text/javascript; charset=utf-8",
		})
		objects = append(objects, holdfast.Object{Digest: d, Name: holdfast.ObjectName{Digest: d}, Size: 1000})
		for _, c := range []holdfast.Coding{holdfast.Brotli, holdfast.Gzip, holdfast.Zstd} {
			name := holdfast.ObjectName{Digest: holdfast.DigestOf(append(d[:], byte(c)))}
			objects = append(objects, holdfast.Object{Digest: d, Coding: c, Name: name, Size: 300})
		}
	}
	page := holdfast.DigestOf(fmt.Appendf(nil, "page %d", i))
	files = append(files, holdfast.File{Path: "index.html", Logical: "index.html", Digest: page, Size: 500, MediaType: "text/html; charset=utf-8"})
	objects = append(objects, holdfast.Object{Digest: page, Name: holdfast.ObjectName{Digest: page}, Size: 500})
	m := holdtest.Must(holdfast.NewManifest(files))
	inv := holdtest.Must(holdfast.NewInventory(objects))
	return m, inv
}
