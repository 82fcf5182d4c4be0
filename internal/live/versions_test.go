package live

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
)

// long is content of n bytes that identifies itself.
func long(what string, n int) string { return what + strings.Repeat(".", n-len(what)) }

func digestOf(content string) *holdfast.Digest {
	d := holdfast.DigestOf([]byte(content))
	return &d
}

// A file may be sent as a delta to its versions in the other releases that are served,
// and to itself.
func TestDictionary(t *testing.T) {
	app := appOf(t, site{sides: []on{{"main", "r3", 9}}, releases: []rel{
		{id: "r1", state: alive, published: 1, activated: 1, files: files{
			"a/index-4f2a9c1b.js": long("index 1", 2000), "plain.js": long("plain 1", 2000), "small.js": "small 1", "p.html": long("page 1", 2000), "x.js.map": long("map 1", 2000),
		}},
		{id: "r0", state: draining, published: 1, activated: 1, files: files{"plain.js": long("plain 0", 2000)}},
		{id: "r9", state: draining, published: 1, activated: 1, files: files{"plain.js": long("plain 9", 2000)}},
		{id: "r2", state: retired, published: 2, activated: 2, files: files{"a/index-5a2b9c1d.js": long("index 2", 2000)}},
		{id: "r3", state: alive, published: 3, activated: 9, files: files{
			"a/index-9e2a4c7d.js": long("index 3", 2100), "a/index-1b7d3e9f.js": long("other 3", 1500), "b/index-9e2a4c7d.js": long("elsewhere", 2000),
			"plain.js": long("plain 3", 2000), "small.js": "small 3", "p.html": long("page 3", 2000), "x.js.map": long("map 3", 2000),
		}},
	}})
	for _, test := range []struct {
		target, dictionary string
		want               bool
	}{
		{"a/index-9e2a4c7d.js", long("index 1", 2000), true},
		{"a/index-9e2a4c7d.js", long("index 2", 2000), false}, // retired
		{"a/index-9e2a4c7d.js", long("index 3", 2100), true},
		{"a/index-9e2a4c7d.js", long("plain 1", 2000), false},
		{"a/index-9e2a4c7d.js", long("elsewhere", 2000), false},
		{"a/index-1b7d3e9f.js", long("index 1", 2000), true},
		{"a/index-1b7d3e9f.js", long("other 3", 1500), false}, // browsers keep the largest
		{"plain.js", long("plain 1", 2000), true},
		{"small.js", "small 1", false},
		{"p.html", long("page 1", 2000), false},
		{"x.js.map", long("map 1", 2000), false},
	} {
		e, ok := app.side.Lookup(test.target)
		if !ok {
			t.Fatalf("no %s", test.target)
		}
		got, ok := app.Dictionary(e, digestOf(test.dictionary))
		if ok != test.want || ok && got.Digest != *digestOf(test.dictionary) {
			t.Errorf("%s from %.9s: %v, want %v", test.target, test.dictionary, ok, test.want)
		}
	}
	old, _ := app.releases["r0"].Lookup("plain.js")
	for content, want := range map[string]bool{long("plain 9", 2000): false, long("plain 0", 2000): false, long("plain 3", 2000): true, long("plain 1", 2000): true} {
		if _, ok := app.Dictionary(old, digestOf(content)); ok != want {
			t.Errorf("to a draining version from %.9s: %v, want %v", content, ok, want)
		}
	}
	var offered []string
	for e := range app.side.Entries {
		if app.Offers(e) {
			offered = append(offered, e.Path)
		}
	}
	if slices.Sort(offered); strings.Join(offered, " ") != "a/index-9e2a4c7d.js b/index-9e2a4c7d.js plain.js" {
		t.Errorf("offered as dictionaries: %v", offered)
	}
}

// Upgrades lead to the live release, from the most recently live ones.
func TestUpgrades(t *testing.T) {
	release := func(n, activated int, state holdfast.State) rel {
		fs := files{
			"same.js": long("same", 2000), "a.js": long(fmt.Sprint("a of ", n), 2000+n), "b.js": long(fmt.Sprint("b of ", n/2), 3000),
			"c-4f2a9c1b.js": long("first c", 2500), "c-5a2b9c1d.js": long("second c", 2400),
		}
		return rel{id: fmt.Sprint("r", n), state: state, published: n, activated: activated, files: fs}
	}
	app := appOf(t, site{sides: []on{{"main", "r5", 9}}, releases: []rel{
		release(1, 1, draining), release(2, 8, draining), release(3, 3, draining), release(4, 0, published), release(5, 9, alive),
	}})
	var got []string
	for _, u := range app.Upgrades(2) {
		got = append(got, fmt.Sprintf("%s: %d to %d", u.Target.Path, u.Dictionary.Size, u.Target.Size))
	}
	want := []string{"b.js: 3000 to 3000", "a.js: 2002 to 2005", "a.js: 2003 to 2005"} // r3 has the b.js of r2; c is where it was
	if !slices.Equal(got, want) {
		t.Errorf("upgrades %q, want %q", got, want)
	}
	if none := appOf(t, site{releases: []rel{release(1, 0, published)}}).Upgrades(2); len(none) > 0 {
		t.Errorf("upgrades without a live release: %v", none)
	}
}

// For any sequence of changes, the index equals one built from scratch, and no index
// changes once it was made.
func TestKinship(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, builds, last := newVersionIndex(), map[int]*Contents{}, map[string][]*Entry(nil)
		var indexes, copies []map[string][]*Entry
		in := newInterner()
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				d, fs := newDepot(), files{}
				for _, p := range []string{"a-4f2a9c1b.js", "a-5a2b9c1d.js", "b.js"} {
					if size := rapid.IntRange(1022, 1027).Draw(t, p); size > 1022 {
						fs[p] = long("x", size)
					}
				}
				key := d.put(fs, 0)
				b := holdtest.Must(in.build(d.manifests[key.manifest], d.inventories[key.inventory]))
				builds[len(indexes)] = b
				k.hold(b, 1)
			},
			"remove": func(t *rapid.T) {
				if len(builds) == 0 {
					t.Skip("none")
				}
				i := rapid.SampledFrom(slices.Sorted(maps.Keys(builds))).Draw(t, "which")
				k.hold(builds[i], -1)
				delete(builds, i)
			},
			"": func(t *rapid.T) {
				last = k.index(last)
				indexes, copies = append(indexes, last), append(copies, maps.Clone(last))
				digests := map[string]map[holdfast.Digest]bool{}
				for _, b := range builds {
					for logical, e := range b.leads {
						if digests[logical] == nil {
							digests[logical] = map[holdfast.Digest]bool{}
						}
						digests[logical][e.Digest] = true
					}
				}
				if len(digests) != len(last) {
					t.Fatalf("%d logical names, want %d", len(last), len(digests))
				}
				for logical, kin := range last {
					for _, e := range kin {
						if !digests[logical][e.Digest] {
							t.Fatalf("%s has a version too many", logical)
						}
					}
					if len(kin) != len(digests[logical]) {
						t.Fatalf("%s has %d versions, want %d", logical, len(kin), len(digests[logical]))
					}
				}
			},
		})
		for i := range indexes {
			if !maps.EqualFunc(indexes[i], copies[i], slices.Equal[[]*Entry]) {
				t.Fatalf("index %d changed after it was made", i)
			}
		}
	})
}
