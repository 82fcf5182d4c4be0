package holdfast

import "fmt"

// MaxName is the length limit of app, side and release names, in bytes.
const MaxName = 64

// AppName names a web application.
type AppName struct{ name string }

// Side names a slot of the cluster on which exactly one release is live.
type Side struct{ name string }

// ReleaseID names an immutable release of an app.
type ReleaseID struct{ name string }

// HookName names a hook: an action that a node runs when a release of an app becomes
// live, retired or gone.
type HookName struct{ name string }

// ParseAppName accepts [A-Za-z0-9][A-Za-z0-9._-]{0,63} except "null" and "auto".
func ParseAppName(s string) (AppName, error) {
	if err := checkName("app name", s); err != nil {
		return AppName{}, err
	}
	return AppName{s}, nil
}

// ParseSide accepts [A-Za-z0-9][A-Za-z0-9._-]{0,63} except "null" and "auto".
func ParseSide(s string) (Side, error) {
	if err := checkName("side", s); err != nil {
		return Side{}, err
	}
	return Side{s}, nil
}

// ParseReleaseID accepts [A-Za-z0-9][A-Za-z0-9._-]{0,63} except "null" and "auto".
func ParseReleaseID(s string) (ReleaseID, error) {
	if err := checkName("release ID", s); err != nil {
		return ReleaseID{}, err
	}
	return ReleaseID{s}, nil
}

// ParseHookName accepts [A-Za-z0-9][A-Za-z0-9._-]{0,63} except "null" and "auto".
func ParseHookName(s string) (HookName, error) {
	if err := checkName("hook name", s); err != nil {
		return HookName{}, err
	}
	return HookName{s}, nil
}

// DefaultApp is the app used when a command names none.
func DefaultApp() AppName { return AppName{"default"} }

// DefaultSide is the side used when a command or node names none.
func DefaultSide() Side { return Side{"main"} }

func (n AppName) String() string   { return n.name }
func (n Side) String() string      { return n.name }
func (n ReleaseID) String() string { return n.name }
func (n HookName) String() string  { return n.name }

// IsZero reports whether n is the zero AppName, which names nothing.
func (n AppName) IsZero() bool { return n.name == "" }

// IsZero reports whether n is the zero Side, which names nothing.
func (n Side) IsZero() bool { return n.name == "" }

// IsZero reports whether n is the zero ReleaseID, which names nothing.
func (n ReleaseID) IsZero() bool { return n.name == "" }

// MarshalText writes the name; the zero value becomes the empty text.
func (n AppName) MarshalText() ([]byte, error) { return []byte(n.name), nil }

// MarshalText writes the name; the zero value becomes the empty text.
func (n Side) MarshalText() ([]byte, error) { return []byte(n.name), nil }

// MarshalText writes the name; the zero value becomes the empty text.
func (n ReleaseID) MarshalText() ([]byte, error) { return []byte(n.name), nil }

// MarshalText writes the name; the zero value becomes the empty text.
func (n HookName) MarshalText() ([]byte, error) { return []byte(n.name), nil }

// UnmarshalText is ParseAppName; the empty text becomes the zero value.
func (n *AppName) UnmarshalText(b []byte) error { return unmarshalName(&n.name, "app name", b) }

// UnmarshalText is ParseSide; the empty text becomes the zero value.
func (n *Side) UnmarshalText(b []byte) error { return unmarshalName(&n.name, "side", b) }

// UnmarshalText is ParseReleaseID; the empty text becomes the zero value.
func (n *ReleaseID) UnmarshalText(b []byte) error { return unmarshalName(&n.name, "release ID", b) }

// UnmarshalText is ParseHookName; the empty text becomes the zero value.
func (n *HookName) UnmarshalText(b []byte) error { return unmarshalName(&n.name, "hook name", b) }

func unmarshalName(into *string, kind string, b []byte) error {
	if len(b) == 0 {
		*into = ""
		return nil
	}
	if err := checkName(kind, string(b)); err != nil {
		return err
	}
	*into = string(b)
	return nil
}

// IsName reports whether s has the form of an app, side or release name.
func IsName(s string) bool {
	if s == "" || len(s) > MaxName || s == "null" || s == "auto" || !isAlphanumeric(s[0]) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func checkName(kind, s string) error {
	switch {
	case s == "null" || s == "auto":
		return fmt.Errorf("%w: %s %q is reserved", ErrInvalid, kind, s)
	case !IsName(s):
		return fmt.Errorf("%w: %s %q: want 1 to %d of A-Z a-z 0-9 . _ - with a letter or digit first",
			ErrInvalid, kind, clip(s), MaxName)
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
