package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// globals returns the init functions and the package variables that can change.
func (l law) globals(files []*source) []string {
	var found []string
	for _, f := range files {
		if f.test {
			continue
		}
		for _, decl := range f.syntax.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.Name == "init" {
					found = append(found, f.complain(decl.Pos(), "init function: nothing happens unasked"))
				}
			case *ast.GenDecl:
				found = append(found, l.variables(f, decl)...)
			}
		}
	}
	return found
}

// variables returns those of decl that can change.
func (l law) variables(f *source, decl *ast.GenDecl) []string {
	if decl.Tok != token.VAR {
		return nil
	}
	var found []string
	for _, spec := range decl.Specs {
		spec := spec.(*ast.ValueSpec)
		if embeds(decl.Doc) || embeds(spec.Doc) || l.isFixed(f, spec) {
			continue
		}
		for _, name := range spec.Names {
			if !listed(l.linked, f.dir+"."+name.Name) {
				found = append(found, f.complain(name.Pos(), "package variable %s can change: make it a constant, a function or a field", name.Name))
			}
		}
	}
	return found
}

// isFixed reports whether nothing can change what the variables of spec hold.
func (l law) isFixed(f *source, spec *ast.ValueSpec) bool {
	return asserts(spec) || len(spec.Values) > 0 &&
		!slices.ContainsFunc(spec.Values, func(value ast.Expr) bool { return !listed(l.fixed, f.called(value)) })
}

// asserts reports whether spec only says that a type has an interface's methods.
// Conversions of a pointer type have parentheses; other calls would do something.
func asserts(spec *ast.ValueSpec) bool {
	return spec.Type != nil &&
		!slices.ContainsFunc(spec.Names, func(name *ast.Ident) bool { return name.Name != "_" }) &&
		!slices.ContainsFunc(spec.Values, func(value ast.Expr) bool {
			call, ok := value.(*ast.CallExpr)
			if !ok {
				return false
			}
			_, conversion := call.Fun.(*ast.ParenExpr)
			return !conversion
		})
}

// called returns the function of a library that value calls, as "library.Name", or "".
func (f *source) called(value ast.Expr) string {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return ""
	}
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	of, ok := selector.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return f.library(of.Name) + "." + selector.Sel.Name
}

func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}
