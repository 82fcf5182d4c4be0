package archtest

import (
	"go/ast"
	"slices"
	"strings"
)

// strangers returns the packages that the law does not know.
func (l law) strangers(files []*source) []string {
	var found []string
	met := map[string]bool{}
	for _, f := range files {
		if _, ok := l.mayImport(f.dir); !ok && !met[f.dir] {
			met[f.dir] = true
			found = append(found, f.complain(f.syntax.Package, "package %s is not in the law", f.dir))
		}
	}
	return found
}

// imported returns the imports that break the law, each by itself.
func (l law) imported(files []*source) []string {
	var found []string
	for _, f := range files {
		for _, spec := range f.syntax.Imports {
			if why := l.judge(f, spec); why != "" {
				name, _ := target(spec)
				found = append(found, f.complain(spec.Pos(), "%s must not import %s: %s", f.dir, name, why))
			}
		}
	}
	return found
}

// judge returns why f must not have the import, or "".
func (l law) judge(f *source, spec *ast.ImportSpec) string {
	name, ours := target(spec)
	_, known := l.mayImport(f.dir)
	switch {
	case !known: // a stranger is reported as such
		return ""
	case spec.Name != nil && spec.Name.Name == "_" && !listed(l.blank, name):
		return "nothing registers itself by a blank import"
	case f.test && l.isApart(f.dir, name):
		return "the two are to be apart, in tests too"
	case ours && f.test:
		return ""
	case ours:
		return l.judgeOurs(f, name)
	default:
		return l.judgeLibrary(f, name)
	}
}

func (l law) judgeOurs(f *source, name string) string {
	allowed, _ := l.mayImport(f.dir)
	switch {
	case !listed(allowed, name):
		return "the law does not list it"
	case listed(l.drivers, name) && !listed(l.wiring, f.name):
		return "only wiring names drivers"
	default:
		return ""
	}
}

func (l law) judgeLibrary(f *source, name string) string {
	if slices.ContainsFunc(strings.Fields(l.testing), func(library string) bool { return below(name, library) }) {
		if f.test || listed(l.suites, f.dir) {
			return ""
		}
		return "it is for tests"
	}
	users, known := l.users(name)
	switch {
	case known && (f.test || listed(users, f.dir)), !known && isStandard(name):
		return ""
	case !known:
		return "the law does not know the library"
	case users == "":
		return "nobody may"
	default:
		return "it is for " + users
	}
}

// mayImport returns the law's line for the package dir.
func (l law) mayImport(dir string) (allowed string, ok bool) {
	if allowed, ok = l.imports[dir]; ok {
		return allowed, true
	}
	for pattern, allowed := range l.imports {
		if strings.HasSuffix(pattern, "/...") && listed(pattern, dir) {
			return allowed, true
		}
	}
	return "", false
}

// users returns who may import the library; the longest path that fits decides.
func (l law) users(name string) (users string, ok bool) {
	longest := ""
	for library, who := range l.only {
		if below(name, library) && len(library) > len(longest) {
			longest, users, ok = library, who, true
		}
	}
	return users, ok
}

func (l law) isApart(dir, name string) bool {
	return slices.ContainsFunc(strings.Fields(l.apart[dir]), func(far string) bool { return below(name, far) })
}

// reached returns the packages that reach what they must be apart from.
func (l law) reached(files []*source) []string {
	imports := map[string][]string{}
	for _, f := range files {
		for _, spec := range f.syntax.Imports {
			if name, _ := target(spec); !f.test {
				imports[f.dir] = append(imports[f.dir], name)
			}
		}
	}
	var found []string
	for dir, forbidden := range l.apart {
		for far := range strings.FieldsSeq(forbidden) {
			if way := wayTo(imports, dir, far); way != nil {
				found = append(found, dir+" must be apart from "+far+": "+strings.Join(way, " imports "))
			}
		}
	}
	slices.Sort(found)
	return found
}

// wayTo returns the shortest chain of imports from dir to far or below it, or nil.
func wayTo(imports map[string][]string, dir, far string) []string {
	met := map[string]bool{dir: true}
	for ways := [][]string{{dir}}; len(ways) > 0; ways = ways[1:] {
		way := ways[0]
		for _, next := range imports[way[len(way)-1]] {
			longer := append(slices.Clone(way), next)
			switch {
			case below(next, far):
				return longer
			case !met[next]:
				met[next] = true
				ways = append(ways, longer)
			}
		}
	}
	return nil
}
