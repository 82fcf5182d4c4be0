package holdfast

import "strings"

// IsPolled reports whether browsers and running pages request p repeatedly under one name
// to learn of changes: HTML documents, service workers, web manifests, version files,
// robots.txt and everything below .well-known. Such a file is never immutable, regardless
// of its name, settings or the form of its URL. It does not allocate.
func IsPolled(p string) bool {
	base := strings.LastIndexByte(p, '/') + 1
	if isLookedUpByName(p, p[base:]) || isServiceWorker(p, base) {
		return true
	}
	t, ok := findAnyToken(p)
	return ok && isServiceWorker(p, t.from)
}

// isLookedUpByName is IsPolled without service workers, whose names may contain a token.
func isLookedUpByName(p, base string) bool {
	if strings.HasPrefix(p, ".well-known/") || strings.Contains(p, "/.well-known/") {
		return true
	}
	dot := strings.LastIndexByte(base, '.')
	stem, ext := base[:max(dot, 0)], base[dot+1:]
	switch {
	case IsDocumentExtension(ext), equalsAny(ext, "webmanifest"):
		return true
	case equalsAny(ext, "json"):
		return hasPrefixFold(stem, "manifest") || tellsOfVersion(p, base)
	case equalsAny(ext, "txt"):
		return hasPrefixFold(stem, "robots") || equalsAny(stem, "version")
	}
	return false
}

// tellsOfVersion reports whether a JSON file announces the newest version or the files
// that belong to it.
func tellsOfVersion(p, base string) bool {
	switch base {
	case "version.json", // SvelteKit (configuration, version.pollInterval), Flutter for the web, homemade update notices
		"meta.json",           // react-cache-buster, react-clear-cache
		"asset-manifest.json", // create-react-app
		"ngsw.json",           // Angular (service worker, "How the service worker learns of updates")
		"hashmap.json":        // VitePress, after a page that failed to load
		return true
	case "latest.json": // Nuxt (experimental.checkOutdatedBuildInterval): builds/latest.json
		return strings.HasSuffix(p[:len(p)-len(base)], "builds/")
	case "app-data.json": // Gatsby ("Caching static sites"): page-data/app-data.json
		return strings.HasSuffix(p[:len(p)-len(base)], "page-data/")
	}
	return false
}

// isServiceWorker reports whether a script's name is that of a service worker, or a part
// of one: its stem, or the part before its token at tokenAt, ends in "sw",
// "serviceworker" or "service-worker"; or it is a name that Workbox, Angular, Blazor or
// OneSignal uses.
func isServiceWorker(p string, tokenAt int) bool {
	start := strings.LastIndexByte(p, '/') + 1
	base := p[start:]
	dot := strings.LastIndexByte(base, '.')
	if dot < 0 || !equalsAny(base[dot+1:], "js", "mjs", "map") {
		return false
	}
	return hasPrefixFold(base, "workbox") || hasPrefixFold(base, "ngsw") || hasPrefixFold(base, "safety-worker.") ||
		hasPrefixFold(base, "service-worker-assets.") || hasPrefixFold(base, "OneSignalSDKWorker") ||
		endsInServiceWorker(p[start:stemEnd(p, start)]) || endsInServiceWorker(strings.TrimRight(p[start:tokenAt], "-._"))
}

func endsInServiceWorker(stem string) bool {
	return endsInWord(stem, "sw") || endsInWord(stem, "serviceworker") ||
		endsInWord(stem, "service-worker") || endsInWord(stem, "service_worker") || endsInWord(stem, "service.worker")
}

func endsInWord(s, w string) bool {
	before := len(s) - len(w)
	return before >= 0 && strings.EqualFold(s[before:], w) && (before == 0 || !isAlphanumeric(s[before-1]))
}

func equalsAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.EqualFold(s, w) {
			return true
		}
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
