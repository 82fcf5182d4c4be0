package archtest

import (
	"go/ast"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// extraServers finds http.Server values made outside of the packages that the law
// lists. A server needs a deadline for each phase of a connection and an owner that
// drains it; internal/front gives it both.
func (l law) extraServers(files []*source) (found []string) {
	for _, f := range files {
		if f.test || listed(l.servers, f.dir) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if _, pointer := n.(*ast.StarExpr); pointer {
				return false // to a server that somebody else made
			}
			if e, ok := n.(*ast.SelectorExpr); ok && e.Sel.Name == "Server" {
				if of, ok := e.X.(*ast.Ident); ok && f.library(of.Name) == "net/http" {
					found = append(found, f.complain(e.Pos(), "http.Server: servers are made by %s", l.servers))
				}
			}
			return true
		})
		for _, name := range []string{"ListenAndServe", "ListenAndServeTLS", "Serve", "ServeTLS"} {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && f.called(call) == "net/http."+name {
					found = append(found, f.complain(call.Pos(), "http.%s has no deadlines: servers are made by %s", name, l.servers))
				}
				return true
			})
		}
	}
	return slices.Compact(found)
}

func TestExtraServersAreFound(t *testing.T) {
	l := law{servers: "internal/front examples/..."}
	files, err := load(tree(map[string]string{
		"internal/front/server.go": `import "net/http"; var s = &http.Server{}`,
		"examples/webapp/main.go":  `import "net/http"; var s = &http.Server{}`,
		"internal/node/node.go":    `import "net/http"; func f() { _ = new(http.Server); _ = http.ListenAndServe("", nil) }`,
		"internal/node/fine.go":    `import "net/http"; func g(h http.Handler, s *http.Server) {}`,
		"internal/node/x_test.go":  `import "net/http"; var s = http.Server{}`,
		"internal/peer/other.go":   `import web "net/http"; var s web.Server`,
		"internal/kv/unrelated.go": `import "@/internal/http"; var s http.Server`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"internal/node/node.go:2: http.ListenAndServe has no deadlines: servers are made by internal/front examples/...",
		"internal/node/node.go:2: http.Server: servers are made by internal/front examples/...",
		"internal/peer/other.go:2: http.Server: servers are made by internal/front examples/...",
	}
	got := l.extraServers(files)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
