package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// nils finds branches that are also taken without an error, as in "if err != nil ||
// !ok", and wrap it: that prints "%!w(<nil>)" to users.
func (l law) nils(files []*source) (violations []string) {
	for _, f := range files {
		if f.test {
			continue
		}
		for _, at := range nilWraps(f.syntax) {
			violations = append(violations, fmt.Sprintf("%s:%d: an error that may be nil is wrapped", f.name, f.fset.Position(at).Line))
		}
	}
	return violations
}

func TestNilWrapsAreFound(t *testing.T) {
	for cond, want := range map[string]int{
		`err != nil || !ok`:                        1,
		`!ok || (x > 1 || err != nil)`:             1,
		`err != nil`:                               0,
		`err != nil && !ok`:                        0,
		`!ok || x > 1`:                             0,
		`errors.Is(err, a) || errors.Is(err, b)`:   0,
		`err != nil && x > 1 || err != nil && !ok`: 0,
	} {
		text := "package p\nfunc f() error {\n\tif " + cond + " {\n\t\treturn fmt.Errorf(\"no: %w\", err)\n\t}\n\treturn nil\n}\n"
		file, err := parser.ParseFile(token.NewFileSet(), "f.go", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(nilWraps(file)); got != want {
			t.Errorf("%s: %d found, want %d", cond, got, want)
		}
	}
}

// nilWraps returns where errors are wrapped in branches that are taken without one.
func nilWraps(file *ast.File) (found []token.Pos) {
	ast.Inspect(file, func(n ast.Node) bool {
		branch, ok := n.(*ast.IfStmt)
		if !ok {
			return true
		}
		parts := disjuncts(branch.Cond)
		for name := range checked(parts) {
			if everyPartChecks(parts, name) {
				continue
			}
			found = append(found, wraps(branch.Body, name)...)
		}
		return true
	})
	return found
}

// disjuncts splits a condition at its outer ||.
func disjuncts(cond ast.Expr) []ast.Expr {
	switch e := cond.(type) {
	case *ast.ParenExpr:
		return disjuncts(e.X)
	case *ast.BinaryExpr:
		if e.Op == token.LOR {
			return append(disjuncts(e.X), disjuncts(e.Y)...)
		}
	}
	return []ast.Expr{cond}
}

// checked returns the variables that some part compares with nil.
func checked(parts []ast.Expr) map[string]bool {
	names := make(map[string]bool)
	for _, p := range parts {
		ast.Inspect(p, func(n ast.Node) bool {
			if e, ok := n.(*ast.BinaryExpr); ok && e.Op == token.NEQ && fmt.Sprint(e.Y) == "nil" {
				if v, ok := e.X.(*ast.Ident); ok {
					names[v.Name] = true
				}
			}
			return true
		})
	}
	return names
}

// everyPartChecks reports whether none of the parts holds while the variable is nil: it
// compares it, or gives it to a function such as errors.Is.
func everyPartChecks(parts []ast.Expr, name string) bool {
	for _, p := range parts {
		mentioned := false
		ast.Inspect(p, func(n ast.Node) bool {
			v, ok := n.(*ast.Ident)
			mentioned = mentioned || ok && v.Name == name
			return true
		})
		if !mentioned {
			return false
		}
	}
	return true
}

// wraps returns the Errorf calls in a block that wrap the variable, but for those in
// inner branches, which may have looked.
func wraps(block *ast.BlockStmt, name string) (found []token.Pos) {
	for _, s := range block.List {
		ast.Inspect(s, func(n ast.Node) bool {
			if _, inner := n.(*ast.IfStmt); inner {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok || !isErrorf(call) {
				return true
			}
			for _, arg := range call.Args[1:] {
				if v, ok := arg.(*ast.Ident); ok && v.Name == name {
					found = append(found, call.Pos())
				}
			}
			return true
		})
	}
	return found
}

func isErrorf(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || f.Sel.Name != "Errorf" || len(call.Args) == 0 {
		return false
	}
	format, ok := call.Args[0].(*ast.BasicLit)
	return ok && strings.Contains(format.Value, "%w")
}
