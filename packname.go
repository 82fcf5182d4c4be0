package holdfast

// PackName names a pack among those that a node owns of an app.
type PackName struct{ name string }

// ParsePackName accepts [A-Za-z0-9][A-Za-z0-9._-]{0,63} except "null" and "auto".
func ParsePackName(s string) (PackName, error) {
	if err := checkName("pack name", s); err != nil {
		return PackName{}, err
	}
	return PackName{s}, nil
}

// String is the inverse of ParsePackName.
func (n PackName) String() string { return n.name }

// IsZero reports whether n is the zero PackName, which names nothing.
func (n PackName) IsZero() bool { return n.name == "" }

// MarshalText writes the name.
func (n PackName) MarshalText() ([]byte, error) { return []byte(n.name), nil }

// UnmarshalText is ParsePackName; the empty text becomes the zero value.
func (n *PackName) UnmarshalText(b []byte) error { return unmarshalName(&n.name, "pack name", b) }
