package archtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// tree makes a module of files given by name and text. Where the text does not
// begin with "package", it is what follows the package clause.
func tree(texts map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range texts {
		if strings.HasSuffix(name, ".go") && !strings.HasPrefix(text, "package") {
			text = "package p\n" + text
		}
		fsys[name] = &fstest.MapFile{Data: []byte(strings.ReplaceAll(text, "@", modulePath))}
	}
	return fsys
}

// violations returns all that the law finds in fsys.
func violations(t *testing.T, l law, fsys fstest.MapFS) []string {
	t.Helper()
	files, err := load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	checks := l.checks()
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		found = append(found, checks[name](files)...)
	}
	return found
}

func TestImportsAreJudged(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"what the law allows": {files: map[string]string{
			"digest.go":                       `import "crypto/sha256"`,
			"internal/serve/decide.go":        `import ("@"; "@/internal/live"; "net/http")`,
			"internal/registry/registry.go":   `import ("@/internal/kv"; "github.com/bmatcuk/doublestar/v4")`,
			"cmd/holdfast/backends.go":        `import "@/internal/kv/sqlitekv"`,
			"asset/zookeeper/zookeeper.go":    `import "@/internal/kv/zkkv"`,
			"test/services/zookeeper.go":      `import ("os/exec"; "testing")`,
			"test/deep/below/it.go":           `import "@/internal/store/dirstore"`,
			"internal/store/storetest/all.go": `import ("testing"; "github.com/google/go-cmp/cmp")`,
			"internal/blob/blob_test.go":      `import ("@/internal/store/memstore"; "go.uber.org/goleak"; "github.com/klauspost/compress/zstd")`,
		}},
		"the root imports a package of ours": {
			files: map[string]string{"digest.go": `import "@/internal/kv"`},
			want:  []string{"digest.go:2: . must not import internal/kv: the law does not list it"},
		},
		"the root imports a library": {
			files: map[string]string{"digest.go": `import "golang.org/x/sync/errgroup"`},
			want:  []string{"digest.go:2: . must not import golang.org/x/sync/errgroup: it is for cmd/holdfast internal/... bench/... test/..."},
		},
		"a package imports what it must not": {
			files: map[string]string{"internal/serve/a.go": `import "@/internal/registry"`},
			want:  []string{"internal/serve/a.go:2: internal/serve must not import internal/registry: the law does not list it"},
		},
		"a driver imports another": {
			files: map[string]string{"internal/kv/zkkv/a.go": `import "@/internal/kv/memkv"`},
			want:  []string{"internal/kv/zkkv/a.go:2: internal/kv/zkkv must not import internal/kv/memkv: the law does not list it"},
		},
		"the program uses test support": {
			files: map[string]string{"cmd/holdfast/a.go": `import "@/internal/kv/kvtest"`},
			want:  []string{"cmd/holdfast/a.go:2: cmd/holdfast must not import internal/kv/kvtest: the law does not list it"},
		},
		"a file that is not wiring names a driver": {
			files: map[string]string{"cmd/holdfast/serve.go": `import "@/internal/kv/sqlitekv"`},
			want:  []string{"cmd/holdfast/serve.go:2: cmd/holdfast must not import internal/kv/sqlitekv: only wiring names drivers"},
		},
		"a package is not in the law": {
			files: map[string]string{
				"internal/util/a.go": `import "@/internal/kv"`,
				"internal/util/b.go": ``,
			},
			want: []string{"internal/util/a.go:1: package internal/util is not in the law"},
		},
		"a package of tests alone is not in the law": {
			files: map[string]string{"internal/strange/a_test.go": ``},
			want:  []string{"internal/strange/a_test.go:1: package internal/strange is not in the law"},
		},
		"a library is not in the law": {
			files: map[string]string{"internal/kv/a.go": `import "example.com/library"`},
			want:  []string{"internal/kv/a.go:2: internal/kv must not import example.com/library: the law does not know the library"},
		},
		"a test uses a library that is not in the law": {
			files: map[string]string{"internal/kv/a_test.go": `import "example.com/library"`},
			want:  []string{"internal/kv/a_test.go:2: internal/kv must not import example.com/library: the law does not know the library"},
		},
		"a library's name begins like another's": {
			files: map[string]string{"internal/kv/sqlitekv/a.go": `import "modernc.org/sqlitefork"`},
			want:  []string{"internal/kv/sqlitekv/a.go:2: internal/kv/sqlitekv must not import modernc.org/sqlitefork: the law does not know the library"},
		},
		"a codec outside of coding": {
			files: map[string]string{"internal/publish/a.go": `import ("compress/gzip"; "github.com/klauspost/compress/zstd")`},
			want: []string{
				"internal/publish/a.go:2: internal/publish must not import compress/gzip: it is for internal/coding",
				"internal/publish/a.go:2: internal/publish must not import github.com/klauspost/compress/zstd: it is for internal/coding",
			},
		},
		"a library for tests outside of tests": {
			files: map[string]string{"internal/kv/a.go": `import "github.com/google/go-cmp/cmp"`},
			want:  []string{"internal/kv/a.go:2: internal/kv must not import github.com/google/go-cmp/cmp: it is for tests"},
		},
		"the longest path decides": {
			files: map[string]string{"internal/admin/a.go": `import ("log"; "log/slog"; "net/http"; "net/http/pprof")`},
			want: []string{
				"internal/admin/a.go:2: internal/admin must not import log: nobody may",
				"internal/admin/a.go:2: internal/admin must not import net/http/pprof: nobody may",
			},
		},
		"a blank import registers": {
			files: map[string]string{
				"internal/kv/sqlitekv/a.go":      `import _ "modernc.org/sqlite"`,
				"internal/kv/sqlitekv/a_test.go": `import _ "@/internal/kv/kvtest"`,
				"cmd/holdfast/demo.go":           `import _ "embed"`,
			},
			want: []string{
				"internal/kv/sqlitekv/a.go:2: internal/kv/sqlitekv must not import modernc.org/sqlite: nothing registers itself by a blank import",
				"internal/kv/sqlitekv/a_test.go:2: internal/kv/sqlitekv must not import internal/kv/kvtest: nothing registers itself by a blank import",
			},
		},
		"live reaches HTTP through another package": {
			files: map[string]string{
				"internal/live/a.go":     `import "@/internal/registry"`,
				"internal/registry/a.go": `import "@/internal/kv"`,
				"internal/kv/a.go":       `import "net/http"`,
			},
			want: []string{
				"internal/live must be apart from net/http: internal/live imports internal/registry imports internal/kv imports net/http",
				"internal/registry must be apart from net/http: internal/registry imports internal/kv imports net/http",
				"internal/kv/a.go:2: internal/kv must not import net/http: it is for " + theLaw().only["net/http"],
			},
		},
		"imports in a circle lead nowhere": {
			files: map[string]string{
				"internal/live/a.go":     `import "@/internal/registry"`,
				"internal/registry/a.go": `import "@/internal/live"`,
			},
			want: []string{"internal/registry/a.go:2: internal/registry must not import internal/live: the law does not list it"},
		},
		"publish and serve meet": {
			files: map[string]string{
				"internal/publish/a.go":    `import "@/internal/serve"`,
				"internal/serve/a_test.go": `import "@/internal/publish"`,
			},
			want: []string{
				"internal/publish must be apart from internal/serve: internal/publish imports internal/serve",
				"internal/publish/a.go:2: internal/publish must not import internal/serve: the law does not list it",
				"internal/serve/a_test.go:2: internal/serve must not import internal/publish: the two are to be apart, in tests too",
			},
		},
		"a test's imports are not the package's": {files: map[string]string{
			"internal/registry/a_test.go": `import "@/internal/kv/sqlitekv"`,
			"internal/live/a_test.go":     `import "@/internal/registry"`,
			"internal/live/a.go":          `import "@/internal/registry"`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, violations(t, theLaw(), tree(c.files))); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGlobalsAreFound(t *testing.T) {
	const changes = "can change: make it a constant, a function or a field"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"an init function":            {"func init() {}", []string{"cmd/holdfast/a.go:2: init function: nothing happens unasked"}},
		"a method named init":         {"type t struct{}\nfunc (t) init() {}", nil},
		"a zero variable":             {"var count int", []string{"cmd/holdfast/a.go:2: package variable count " + changes}},
		"a map":                       {"var m = map[string]int{}", []string{"cmd/holdfast/a.go:2: package variable m " + changes}},
		"two in a group":              {"var (\n\ta = 1\n\tb, c = 2, 3\n)", []string{"cmd/holdfast/a.go:3: package variable a " + changes, "cmd/holdfast/a.go:4: package variable b " + changes, "cmd/holdfast/a.go:4: package variable c " + changes}},
		"an error":                    {"import \"errors\"\nvar errLost = errors.New(\"lost\")", nil},
		"a wrapped error":             {"import \"fmt\"\nvar (\n\terrLost = fmt.Errorf(\"lost\")\n)", nil},
		"an error with a type":        {"import \"errors\"\nvar errLost error = errors.New(\"lost\")", nil},
		"a regular expression":        {"import \"regexp\"\nvar name = regexp.MustCompile(\"x\")", nil},
		"another errors package":      {"import \"@/internal/errors\"\nvar errLost = errors.New(\"lost\")", []string{"cmd/holdfast/a.go:3: package variable errLost " + changes}},
		"an error beside a number":    {"import \"errors\"\nvar errLost, n = errors.New(\"lost\"), 1", []string{"cmd/holdfast/a.go:3: package variable errLost " + changes, "cmd/holdfast/a.go:3: package variable n " + changes}},
		"an assertion":                {"import \"io\"\nvar _ io.Closer = (*t)(nil)\nvar _ io.Closer = t{}", nil},
		"a call that looks like one":  {"import \"io\"\nvar _ io.Closer = register()", []string{"cmd/holdfast/a.go:3: package variable _ " + changes}},
		"a call for its effect":       {"var _ = register()", []string{"cmd/holdfast/a.go:2: package variable _ " + changes}},
		"embedded files":              {"import \"embed\"\n//go:embed site\nvar site embed.FS", nil},
		"embedded files in a group":   {"import \"embed\"\nvar (\n\t//go:embed site\n\tsite embed.FS\n\tn int\n)", []string{"cmd/holdfast/a.go:6: package variable n " + changes}},
		"a comment that names embed":  {"// site is filled by go:embed one day.\nvar site string", []string{"cmd/holdfast/a.go:3: package variable site " + changes}},
		"what the linker sets":        {"var version string", nil},
		"constants":                   {"const a = 1", nil},
		"a variable in a function":    {"func f() { var a int; _ = a }", nil},
		"a variable holding function": {"var now = func() int { return 1 }", []string{"cmd/holdfast/a.go:2: package variable now " + changes}},
	} {
		t.Run(name, func(t *testing.T) {
			text := c.text
			l := theLaw()
			l.only = map[string]string{}
			l.imports = map[string]string{"cmd/holdfast": "*"}
			if diff := cmp.Diff(c.want, violations(t, l, tree(map[string]string{
				"cmd/holdfast/a.go": text, "cmd/holdfast/a_test.go": "func init() {}\nvar free int",
			}))); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("what the linker sets elsewhere", func(t *testing.T) {
		want := []string{"digest.go:2: package variable version " + changes}
		if diff := cmp.Diff(want, violations(t, theLaw(), tree(map[string]string{"digest.go": "var version string"}))); diff != "" {
			t.Errorf("violations (-want +got):\n%s", diff)
		}
	})
}

// function returns one that is so many lines long.
func function(lines int) string {
	return "func f() {\n" + strings.Repeat("\n", lines-2) + "}\n"
}

// methods returns an interface of so many.
func methods(n int) string {
	var b strings.Builder
	b.WriteString("type i interface {\n\tM0()\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "\tM%d()\n", i)
	}
	return b.String() + "}\n"
}

func TestSizesAreMeasured(t *testing.T) {
	loose := theLaw()
	loose.limits.median, loose.limits.p90 = 1000, 1000
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a function at the limit":          {function(80), nil},
		"a function above it":              {function(81), []string{"digest.go:2: function f has 81 lines, more than 80"}},
		"its comment does not count":       {"// f\n// does\n" + function(80), nil},
		"a method above it":                {"type t int\n\n" + strings.Replace(function(81), "func f", "func (t) f", 1), []string{"digest.go:4: function f has 81 lines, more than 80"}},
		"a file at the limit":              {strings.Repeat("\n", 399), nil},
		"a file above it":                  {strings.Repeat("\n", 400), []string{"digest.go:1: file has 401 lines, more than 400"}},
		"an interface at the limit":        {methods(5), nil},
		"an interface above it":            {methods(6), []string{"digest.go:2: interface has 6 methods, more than 5"}},
		"an interface that embeds another": {strings.Replace(methods(5), "M0()", "M0()\n\terror", 1), []string{"digest.go:2: interface has 6 methods, more than 5"}},
		"an interface without a name":      {"func f(v any) {\n\t_ = v.(" + strings.TrimSpace(strings.TrimPrefix(methods(6), "type i ")) + ")\n}", []string{"digest.go:3: interface has 6 methods, more than 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			files := tree(map[string]string{"digest.go": c.text, "digest_test.go": function(500) + methods(9)})
			if diff := cmp.Diff(c.want, violations(t, loose, files)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpreadIsMeasured(t *testing.T) {
	long, short := function(36), function(10)
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"no function":         {"", nil},
		"at the limits":       {strings.Repeat(short, 9) + function(35), nil},
		"a long tenth":        {strings.Repeat(short, 9) + long, []string{"one function in ten has 36 lines or more, the limit is 35"}},
		"less than a tenth":   {strings.Repeat(short, 10) + long, nil},
		"a long half":         {strings.Repeat(function(9), 5) + strings.Repeat(function(11), 5), []string{"the median function has 11 lines, more than 10"}},
		"less than long half": {strings.Repeat(function(9), 5) + strings.Repeat(function(11), 4), nil},
	} {
		t.Run(name, func(t *testing.T) {
			files := tree(map[string]string{"digest.go": c.text, "digest_test.go": strings.Repeat(long, 100)})
			if diff := cmp.Diff(c.want, violations(t, theLaw(), files)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadKeepsToTheModule(t *testing.T) {
	const wrong = "func init() {}"
	files, err := load(tree(map[string]string{
		"go.mod":                            "module holdfast",
		"digest.go":                         "",
		"sys_windows.go":                    "//go:build windows",
		"README.md":                         "no code",
		"tools/go.mod":                      "module tools",
		"tools/a.go":                        wrong,
		"internal/kv/testdata/a.go":         wrong,
		"examples/site/node_modules/a/a.go": wrong,
		".cache/a.go":                       wrong,
		"_old/a.go":                         wrong,
		"internal/kv/kv.go":                 "",
		"internal/kv/kv_test.go":            "package p_test",
	}))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range files {
		got = append(got, fmt.Sprint(f.name, " in ", f.dir, " test ", f.test))
	}
	want := []string{
		"digest.go in . test false", "internal/kv/kv.go in internal/kv test false",
		"internal/kv/kv_test.go in internal/kv test true", "sys_windows.go in . test false",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestLoadReportsWhatDoesNotParse(t *testing.T) {
	_, err := load(tree(map[string]string{"digest.go": "func {"}))
	if err == nil || !strings.Contains(err.Error(), "digest.go:2") {
		t.Errorf("load = %v, want an error at digest.go:2", err)
	}
}
