package main

import (
	"encoding"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-web/holdfast/internal/admin"
)

// documents are all that programs may read, by the heading that documents each.
func documents() map[string]reflect.Type {
	return map[string]reflect.Type{
		"holdfast publish":               reflect.TypeFor[published](),
		"holdfast activate and rollback": reflect.TypeFor[flip](),
		"holdfast releases":              reflect.TypeFor[releaseList](),
		"holdfast history":               reflect.TypeFor[historyList](),
		"holdfast status":                reflect.TypeFor[clusterStatus](),
		"holdfast apps":                  reflect.TypeFor[appList](),
		"holdfast app show":              reflect.TypeFor[appListing](),
		"holdfast manifest":              reflect.TypeFor[manifestListing](),
		"holdfast prune":                 reflect.TypeFor[pruned](),
		"holdfast verify":                reflect.TypeFor[verified](),
		"holdfast store":                 reflect.TypeFor[storeShown](),
		"holdfast version":               reflect.TypeFor[versionInfo](),
		"holdfast pin and unpin":         reflect.TypeFor[pinDoc](),
		"holdfast retire":                reflect.TypeFor[retireDoc](),
		"holdfast unpublish":             reflect.TypeFor[unpublishDoc](),
		"holdfast takedown":              reflect.TypeFor[takedownDoc](),
		"holdfast undelete":              reflect.TypeFor[undeleteDoc](),
		"holdfast hooks":                 reflect.TypeFor[hooksDoc](),
		"holdfast app set":               reflect.TypeFor[appSetDoc](),
		"holdfast app rm":                reflect.TypeFor[appRmDoc](),
		"holdfast side rm":               reflect.TypeFor[sideRmDoc](),
		"holdfast url":                   reflect.TypeFor[urlDoc](),
		"A hook":                         reflect.TypeFor[hookDoc](),
		"Failures":                       reflect.TypeFor[failureDoc](),
		"/readyz":                        reflect.TypeFor[admin.Status](),
	}
}

// docs/json.md lists exactly the keys of every document. Renaming or dropping a key
// breaks programs: add new ones beside it.
func TestJSONIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	described := make(map[string][]string)
	for _, section := range strings.Split(string(text), "\n## ")[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (yes|no) \\|").FindAllStringSubmatch(body, -1) {
			described[strings.ReplaceAll(heading, "`", "")] = append(described[strings.ReplaceAll(heading, "`", "")], row[1]+" "+row[2])
		}
	}
	for heading, document := range documents() {
		keys := keysOf(document, "")
		slices.Sort(keys)
		slices.Sort(described[heading])
		if diff := cmp.Diff(keys, described[heading]); diff != "" {
			t.Errorf("%s (-printed +described, with whether it is always there):\n%s", heading, diff)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(documents())), slices.Sorted(maps.Keys(described))); diff != "" {
		t.Errorf("documents (-there are +described):\n%s", diff)
	}
}

// Every command that prints something has --json, and each code of a failure is
// documented once.
func TestEveryCommandHasJSON(t *testing.T) {
	// What runs until it is stopped, writes files, or prints help.
	without := map[string]bool{"serve": true, "demo": true, "man": true, "help": true, "app": true, "side": true, "holdfast": true}
	for _, cmd := range commands(t) {
		if has := cmd.Flags().Lookup("json") != nil; has == without[cmd.Name()] {
			t.Errorf("%s: --json: %v", cmd.CommandPath(), has)
		}
	}
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Failures\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var described []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\|$").FindAllStringSubmatch(section, -1) {
		described = append(described, row[1])
	}
	codes := []string{"failed"}
	for _, c := range causes() {
		if !slices.Contains(codes, c.code) {
			codes = append(codes, c.code)
		}
	}
	slices.Sort(codes)
	slices.Sort(described)
	if diff := cmp.Diff(codes, described); diff != "" {
		t.Errorf("codes (-known +described):\n%s", diff)
	}
}

// keysOf returns the keys of a type's JSON form, those within others with a path,
// and whether each is always there.
func keysOf(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner, _ := content(f.Type)
			keys = append(keys, keysOf(inner, prefix)...)
			continue
		case !f.IsExported(), name == "-":
			continue
		}
		always := " yes"
		if strings.Contains(options, "omit") {
			always = " no"
		}
		keys = append(keys, prefix+name+always)
		if inner, list := content(f.Type); inner != nil {
			keys = append(keys, keysOf(inner, prefix+name+list+".")...)
		}
	}
	return keys
}

// content returns the struct that a field's object, or its list of objects, is
// of; nil for all else. What one command prints of another is described there.
func content(t reflect.Type) (inner reflect.Type, list string) {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		if t.Kind() == reflect.Slice {
			list = "[]"
		}
		t = t.Elem()
	}
	elsewhere := t == reflect.TypeFor[flip]() || t == reflect.TypeFor[appListing]() || t == reflect.TypeFor[hookDoc]()
	if t.Kind() != reflect.Struct || elsewhere || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return nil, ""
	}
	return t, list
}
