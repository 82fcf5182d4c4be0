package archtest

// modulePath is the import path of the root package, which the law calls ".".
const modulePath = "github.com/holdfast-web/holdfast"

// law says who may import what, and what else the source may not hold. Packages
// of this module are named by their directory; lists are separated by spaces, and
// "*" stands for every package. Test files may import any package of the module
// that theirs need not be apart from, the standard library, and any library that
// the law names.
type law struct {
	// imports lists the packages of this module and which others of it they may
	// import. What is not listed must not exist. "dir/..." is all below dir.
	imports map[string]string
	// only lists who may import a library, and all below its path. Libraries of
	// others that are not listed are forbidden to all, those of the standard
	// library are free to all. The longest path decides.
	only map[string]string
	// testing lists libraries that only tests, the conformance suites and what
	// drives a browser import.
	testing string
	suites  string
	// drivers may be imported by the files and directories of wiring alone.
	drivers string
	wiring  string
	// apart lists what a package must not even reach through others of this module.
	apart map[string]string
	// servers may make an http.Server.
	servers string
	// blank lists what may be imported for its side effects.
	blank string
	// fixed lists the calls whose result a package variable may hold, since
	// nothing can change it.
	fixed string
	// linked lists the variables that only the linker sets, as "dir.name".
	linked string
	limits limits
}

// limits are the size budgets of files that are not tests: of each, and of the
// lines of all functions together.
type limits struct {
	function, file, methods int
	median, p90             int
}

func theLaw() law {
	return law{
		imports: map[string]string{
			".": "",
			// A program that joins a cluster is a node of it.
			"asset": ". internal/blob internal/assembly internal/kv internal/urls internal/live internal/node internal/peer internal/publish " +
				"internal/registry internal/replica internal/serve internal/store",
			"asset/compress":  "asset internal/coding",
			"asset/etcd":      "asset internal/kv internal/kv/etcdkv",
			"asset/local":     ". asset internal/kv internal/kv/sqlitekv internal/store internal/store/dirstore",
			"asset/s3":        "asset internal/store internal/store/bucketstore",
			"asset/zookeeper": "asset internal/kv internal/kv/zkkv",
			"cmd/holdfast": ". asset internal/assembly internal/clock internal/coding internal/delta internal/durable internal/front internal/hook internal/packapi " +
				"internal/kv internal/kv/etcdkv internal/kv/memkv internal/kv/sqlitekv internal/kv/zkkv internal/lifecycle internal/metrics internal/urls " +
				"internal/node internal/peer internal/prune internal/publish internal/registry internal/replica internal/scrub internal/serve " +
				"internal/store internal/store/bucketstore internal/store/dirstore internal/store/memstore internal/wait",

			"internal/admin":      "",
			"internal/archtest":   "",
			"internal/blob":       ". internal/durable internal/hangpool internal/wait",
			"internal/assembly":   ". internal/blob internal/coding internal/delta internal/durable internal/live internal/metrics internal/node internal/peer internal/prune internal/publish internal/registry internal/replica internal/store internal/store/dirstore internal/urls internal/wait",
			"internal/packapi":    ". internal/assembly internal/node internal/publish internal/urls",
			"internal/clock":      "",
			"internal/coding":     ".",
			"internal/delta":      ". internal/blob internal/coding internal/live internal/wait",
			"internal/fastpath":   "internal/serve",
			"internal/front":      ". internal/fastpath internal/serve internal/wait",
			"internal/holdtest":   ". internal/coding internal/kv/memkv internal/registry internal/store internal/store/memstore",
			"internal/hook":       ". internal/registry internal/wait",
			"internal/hangpool":   ".",
			"internal/lifecycle":  ". internal/registry",
			"internal/urls":       ".",
			"internal/live":       ". internal/registry internal/wait", // for its data types
			"internal/metrics":    ". internal/blob internal/delta internal/live internal/serve",
			"internal/node":       ". internal/admin internal/blob internal/durable internal/front internal/live internal/peer internal/registry internal/replica internal/serve internal/wait",
			"internal/ratelimit":  "",
			"internal/peer":       ". internal/blob internal/wait",
			"internal/prune":      ". internal/clock internal/lifecycle internal/registry internal/store",
			"internal/publish":    ". internal/coding internal/references internal/registry",
			"internal/references": "",
			"internal/registry":   ". internal/clock internal/kv internal/wait",
			"internal/replica":    ". internal/blob internal/ratelimit internal/registry internal/store internal/wait",
			"internal/scrub":      ". internal/coding internal/prune internal/publish internal/registry internal/store",
			"internal/wait":       "",
			"internal/serve":      ". internal/blob internal/live",

			"internal/durable":             "",
			"internal/durable/durabletest": "internal/durable",

			"internal/kv":             "",
			"internal/kv/etcdkv":      "internal/kv internal/kv/leasekeeper internal/wait",
			"internal/kv/leasekeeper": "internal/kv internal/wait",
			"internal/kv/kvtest":      "internal/kv",
			"internal/kv/memkv":       "internal/kv internal/wait",
			"internal/kv/sqlitekv":    "internal/kv internal/kv/leasekeeper internal/durable internal/wait",
			"internal/kv/zkkv":        "internal/kv internal/wait",

			"internal/store":             ". internal/ratelimit",
			"internal/store/bucketstore": ". internal/store internal/wait",
			"internal/store/dirstore":    ". internal/store internal/durable internal/hangpool",
			"internal/store/memstore":    ". internal/store",
			"internal/store/storetest":   ". internal/store",

			"bench/...":              "*",
			"examples/...":           ". examples/... asset asset/compress asset/etcd asset/local asset/s3 asset/zookeeper",
			"examples/rolling":       "examples/... test/browser",
			"examples/rolling/visit": "test/browser",
			"test/...":               "*",
			"test/browser":           "*",
		},
		only: map[string]string{
			"compress":       "internal/coding",
			"database/sql":   "internal/kv/sqlitekv",
			"log":            "", // log/slog, injected
			"log/slog":       "*",
			"net/http":       "asset cmd/holdfast internal/admin internal/blob internal/fastpath internal/front internal/hook internal/metrics internal/node internal/packapi internal/peer internal/serve internal/store/bucketstore examples/... bench/... test/...",
			"net/http/pprof": "", // registers itself
			"os/exec":        "cmd/holdfast internal/hook bench/... test/...",
			"plugin":         "",
			"testing":        "internal/holdtest internal/kv/kvtest internal/store/storetest bench/... test/...",
			"unsafe":         "internal/fastpath",

			"github.com/bmatcuk/doublestar":       "internal/registry",
			"github.com/cheggaaa/pb":              "cmd/holdfast",
			"github.com/coreos/go-systemd":        "cmd/holdfast",
			"github.com/go-zookeeper/zk":          "internal/kv/zkkv",
			"github.com/goccy/go-yaml":            "cmd/holdfast",
			"github.com/klauspost/compress":       "internal/coding",
			"github.com/maypok86/otter":           "internal/blob internal/delta",
			"github.com/minio/minio-go":           "internal/store/bucketstore",
			"github.com/molecule-man/go-brrr":     "internal/coding",
			"github.com/pires/go-proxyproto":      "internal/front",
			"github.com/prometheus/client_golang": "internal/metrics",
			"github.com/spf13/cobra":              "cmd/holdfast",
			"github.com/spf13/pflag":              "cmd/holdfast",
			"github.com/tdewolff/parse":           "internal/urls internal/publish internal/references",
			"go.etcd.io/etcd":                     "internal/kv/etcdkv",
			"go.uber.org/zap":                     "internal/kv/etcdkv",
			"golang.org/x/net":                    "internal/fastpath internal/references internal/serve",
			"golang.org/x/sync":                   "cmd/holdfast internal/... bench/... test/...",
			"golang.org/x/sys":                    "cmd/holdfast internal/durable internal/fastpath internal/front internal/kv/kvtest internal/kv/sqlitekv internal/store/dirstore bench/... test/...",
			"golang.org/x/term":                   "cmd/holdfast",
			"golang.org/x/time":                   "internal/ratelimit",
			"google.golang.org/grpc":              "internal/kv/etcdkv",
			"modernc.org/sqlite":                  "internal/kv/sqlitekv",
		},
		testing: "github.com/anishathalye/porcupine github.com/chromedp github.com/google/go-cmp " +
			"github.com/rogpeppe/go-internal go.uber.org/goleak pgregory.net/rapid",
		suites: "internal/kv/kvtest internal/store/storetest bench/... examples/rolling/visit test/...",
		drivers: "internal/kv/etcdkv internal/kv/memkv internal/kv/sqlitekv internal/kv/zkkv " +
			"internal/store/bucketstore internal/store/dirstore internal/store/memstore",
		wiring: "internal/holdtest/... internal/assembly/... cmd/holdfast/backends.go asset/etcd/... asset/local/... asset/s3/... asset/zookeeper/... bench/... test/...",
		apart: map[string]string{
			"internal/live":      "net/http golang.org/x/net internal/blob internal/publish internal/serve",
			"internal/publish":   "net/http internal/live internal/serve",
			"internal/registry":  "net/http",
			"internal/lifecycle": "net/http",
			"internal/serve": "internal/publish internal/kv/etcdkv internal/kv/memkv internal/kv/sqlitekv internal/kv/zkkv " +
				"internal/store/bucketstore internal/store/dirstore internal/store/memstore",
		},
		servers: "internal/front bench/... examples/... test/...",
		blank:   "embed",
		fixed:   "errors.New fmt.Errorf regexp.MustCompile",
		linked:  "cmd/holdfast.version cmd/holdfast.testFloor",
		limits:  limits{function: 80, file: 400, methods: 5, median: 10, p90: 35},
	}
}
