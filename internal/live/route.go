package live

// routes finds the app whose mount holds a path, at a cost that does not grow with the
// number of apps: by host ("" for mounts of every host), then by prefix.
type routes map[string]*mounts

// mounts are those of one host.
type mounts struct {
	apps    map[string]*App // by prefix
	longest int             // of the prefixes, in bytes
}

// newRoutes returns the routes of apps, whose mounts all differ.
func newRoutes(apps []*App) routes {
	r := make(routes)
	for _, a := range apps {
		m := r[a.host]
		if m == nil {
			m = &mounts{apps: make(map[string]*App)}
			r[a.host] = m
		}
		m.apps[a.prefix], m.longest = a, max(m.longest, len(a.prefix))
	}
	return r
}

// find returns the app whose mount contains path: of the mounts on its host, else of
// those on every host, the longest prefix. Nil if there is none.
func (r routes) find(host, path string) *App {
	if host != "" {
		if a := r[host].longestPrefix(path); a != nil {
			return a
		}
	}
	return r[""].longestPrefix(path)
}

// longestPrefix tries each segment boundary of path, up to the longest prefix.
func (m *mounts) longestPrefix(path string) (found *App) {
	if m == nil || path == "" {
		return nil
	}
	for end := 0; end <= min(len(path), m.longest); end++ {
		if end == len(path) || path[end] == '/' {
			if a, ok := m.apps[path[:end]]; ok {
				found = a
			}
		}
	}
	return found
}
