package archtest

import (
	"fmt"
	"go/ast"
	"slices"
)

// sizes returns what is larger than the limits, except in tests.
func (l law) sizes(files []*source) []string {
	var found []string
	for _, f := range files {
		if f.test {
			continue
		}
		if f.lines > l.limits.file {
			found = append(found, f.complain(f.syntax.Package, "file has %d lines, more than %d", f.lines, l.limits.file))
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if why := l.limits.exceeded(f, n); why != "" {
				found = append(found, f.complain(n.Pos(), "%s", why))
			}
			return true
		})
	}
	return found
}

// exceeded returns which limit the function or interface n exceeds, or "". An
// interface embedded in another counts as one method.
func (l limits) exceeded(f *source, n ast.Node) string {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if lines := f.height(n); lines > l.function {
			return fmt.Sprintf("function %s has %d lines, more than %d", n.Name.Name, lines, l.function)
		}
	case *ast.InterfaceType:
		if methods := n.Methods.NumFields(); methods > l.methods {
			return fmt.Sprintf("interface has %d methods, more than %d", methods, l.methods)
		}
	}
	return ""
}

// heights returns the lines of all functions that are not in tests, rising.
func heights(files []*source) []int {
	var lines []int
	for _, f := range files {
		for _, decl := range f.syntax.Decls {
			if decl, ok := decl.(*ast.FuncDecl); ok && !f.test {
				lines = append(lines, f.height(decl))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// quantile returns the value that the share q of the rising values does not exceed.
func quantile(rising []int, q float64) int {
	if len(rising) == 0 {
		return 0
	}
	return rising[min(int(q*float64(len(rising))), len(rising)-1)]
}

// spread returns where the functions taken together are longer than the limits.
func (l law) spread(files []*source) []string {
	lines := heights(files)
	var found []string
	if median := quantile(lines, 0.5); median > l.limits.median {
		found = append(found, fmt.Sprintf("the median function has %d lines, more than %d", median, l.limits.median))
	}
	if p90 := quantile(lines, 0.9); p90 > l.limits.p90 {
		found = append(found, fmt.Sprintf("one function in ten has %d lines or more, the limit is %d", p90, l.limits.p90))
	}
	return found
}
