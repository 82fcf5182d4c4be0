package holdfast

import (
	"fmt"
	"strings"
)

// Mount is an app's mount path: a path prefix, on every host or on one.
type Mount struct {
	host string // lower case, without port; "" is every host
	path string // "" for the root, else "/a/b" without trailing slash
}

// ParseMount reads "/", "/assets", "shop.example.com/" or "shop.example.com/a".
// A host is folded to lower case; one trailing slash of a path is dropped.
func ParseMount(s string) (Mount, error) {
	host, path, ok := strings.Cut(s, "/")
	if !ok {
		return Mount{}, fmt.Errorf("%w: mount %q: want /path or host/path", ErrInvalid, clip(s))
	}
	m := Mount{host: strings.ToLower(host)}
	if host != "" && !isHost(m.host) {
		return Mount{}, fmt.Errorf("%w: mount %q: %q is not a host name (give it without a port)", ErrInvalid, clip(s), clip(host))
	}
	if path == "" {
		return m, nil
	}
	path = strings.TrimSuffix(path, "/")
	if err := CheckPath(path); err != nil {
		return Mount{}, fmt.Errorf("mount %q: %w", clip(s), err)
	}
	if strings.ContainsAny(path, "?#%") {
		return Mount{}, fmt.Errorf("%w: mount %q: give the path decoded, without ? # %%", ErrInvalid, clip(s))
	}
	m.path = "/" + path
	return m, nil
}

// Host returns the host the mount is bound to, or "" for every host.
func (m Mount) Host() string { return m.host }

// Path returns the path without its trailing slash: "" for the root.
func (m Mount) Path() string { return m.path }

// String writes the form that ParseMount reads.
func (m Mount) String() string {
	if m.path == "" {
		return m.host + "/"
	}
	return m.host + m.path
}

// Shadows reports whether m hides part of outer's paths, so files of outer below it are
// unreachable. rest is that part, relative to outer's mount.
func (m Mount) Shadows(outer Mount) (rest string, shadowed bool) {
	if m == outer || m.host != outer.host && m.host != "" && outer.host != "" {
		return "", false
	}
	if m.host != outer.host && m.host == "" {
		return "", false // a mount with a host beats one without
	}
	if m.path == outer.path {
		return "", m.host != outer.host
	}
	if rest, shadowed = strings.CutPrefix(m.path, outer.path+"/"); !shadowed {
		return "", false
	}
	return rest, true
}

// MarshalText writes the form that ParseMount reads.
func (m Mount) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMount.
func (m *Mount) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMount(string(b))
	return err
}

func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label {
			return false
		}
		for i := range len(label) {
			if c := label[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
