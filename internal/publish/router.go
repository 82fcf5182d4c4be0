package publish

import "fmt"

// unroutedPages finds a build with browser-only routes whose app has no SPA fallback. The
// evidence must be strong: a build with a page for each route needs no such setting.
func (b *Build) unroutedPages(s *Subject) []Finding {
	if s.Settings.SPA || !b.hasOnePage() {
		return nil
	}
	router := b.router()
	if router == "" {
		return nil
	}
	return []Finding{{
		Code: FoundRouter, Severity: Warning,
		Message: fmt.Sprintf("this build has one page and routes in the browser (%s), and the app's setting spa is off: reloading any other route answers 404", router),
		Hint:    "if the app routes in the browser, have every route answered with its page",
		Command: fmt.Sprintf("app set %s spa=on", s.App),
	}}
}

// hasOnePage reports whether index.html is the only page. Copies of it do not count;
// neither does 200.html, by convention the fallback page.
func (b *Build) hasOnePage() bool {
	first := b.traits.page("index.html")
	if first == nil {
		return false
	}
	for i := range b.traits.pages {
		if p := &b.traits.pages[i]; p.path != first.path && p.digest != first.digest && p.path != "200.html" {
			return false
		}
	}
	return true
}

// router names the build's router if that changes the path of URLs, or returns "". A
// router that changes only the fragment ("#/about") needs nothing.
func (b *Build) router() string {
	switch {
	case b.hasBlazor():
		return "Blazor"
	case b.traits.marks.has(markSvelteKit):
		return "SvelteKit"
	}
	return b.traits.router
}

// routerIn names the router in a file with the marks m of a build with the marks all.
// Whether a router changes the fragment shows in its own code, or in how the app,
// which may be another file, sets it up.
func routerIn(m, all marks) string {
	hashChange := m.has(markHashChange)
	switch {
	case !m.has(markPushState):
		return ""
	case m.has(markReactRouter):
		return unless(m.has(markReactHash), "React Router")
	case m.has(markReactRouter5):
		return unless(hashChange, "React Router")
	case m.has(markVueRouter):
		// Version 3 has the code of both modes, and listens for hashchange.
		return unless(hashChange && !all.has(markVueHistory) || m.has(markVueHash), "Vue Router")
	case m.has(markAngularRouter):
		return unless(all.has(markAngularHash) || all.has(markAngularHashCode) && !all.has(markAngularChoice), "Angular Router")
	case m.has(markTanStack):
		return unless(m.has(markTanStackHash), "TanStack Router")
	case m.has(markWouter):
		return unless(hashChange, "wouter")
	case m.has(markCallsPushState | markPopState | markPathname):
		return unless(hashChange, "history.pushState")
	}
	return ""
}

func unless(not bool, name string) string {
	if not {
		return ""
	}
	return name
}

// hasBlazor: Blazor WebAssembly routes in the browser.
func (b *Build) hasBlazor() bool {
	for i := range b.Manifest.Files() {
		if f := &b.Manifest.Files()[i]; f.Logical == "_framework/blazor.webassembly.js" {
			return true
		}
	}
	return false
}
