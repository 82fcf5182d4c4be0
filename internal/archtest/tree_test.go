package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// source is one Go file.
type source struct {
	name   string // path below the module's root
	dir    string // of the package; "." is the root package
	test   bool
	lines  int
	fset   *token.FileSet
	syntax *ast.File
}

// load parses the Go files of the module that fsys holds.
func load(fsys fs.FS) ([]*source, error) {
	var files []*source
	fset := token.NewFileSet()
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return enter(fsys, name)
		case path.Ext(name) != ".go":
			return nil
		}
		f, err := parse(fsys, fset, name)
		files = append(files, f)
		return err
	})
	return files, err
}

// enter says, as an fs.WalkDirFunc does, whether the directory belongs to the module.
func enter(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if listed("node_modules testdata", base) || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parse(fsys fs.FS, fset *token.FileSet, name string) (*source, error) {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("parse source: %w", err)
	}
	return &source{
		name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
		lines: bytes.Count(text, []byte("\n")), fset: fset, syntax: syntax,
	}, nil
}

// complain formats a violation at pos.
func (f *source) complain(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.name, f.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// library returns the import path of the package that the file calls name, or
// name itself. It trusts the last element of a path to be the package's name.
func (f *source) library(name string) string {
	for _, spec := range f.syntax.Imports {
		far, _ := target(spec)
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path.Base(far) == name {
			return far
		}
	}
	return name
}

// height is the number of lines that n takes.
func (f *source) height(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// target is the package an import names: the directory for one of this module.
func target(spec *ast.ImportSpec) (name string, ours bool) {
	name, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value, false
	}
	if name == modulePath {
		return ".", true
	}
	if dir, ok := strings.CutPrefix(name, modulePath+"/"); ok {
		return dir, true
	}
	return name, false
}

// isStandard reports whether an import path is one of the standard library:
// only those have no dot in the first element.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

// below reports whether name is prefix or a path under it.
func below(name, prefix string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// listed reports whether the list names name, by itself, by a pattern, or by "*".
func listed(list, name string) bool {
	for item := range strings.FieldsSeq(list) {
		dir, pattern := strings.CutSuffix(item, "/...")
		if item == "*" || item == name || pattern && below(name, dir) {
			return true
		}
	}
	return false
}
