package assembly

import (
	"fmt"
	"net"

	holdfast "github.com/holdfast-web/holdfast"
)

// Identity says what the ID of a node's own release is derived from.
type Identity struct{ text string }

// The identities that are no literal.
const (
	ContentIdentity = "content" // the build: nodes with the same one share a release
	NodeIdentity    = "node"    // the build and the node's name
	AddressIdentity = "address" // the build and the node's address
)

// ParseIdentity is the inverse of String. Anything other than the constants is the ID
// itself.
func ParseIdentity(text string) (Identity, error) {
	switch text {
	case ContentIdentity, NodeIdentity, AddressIdentity:
		return Identity{text}, nil
	}
	id, err := holdfast.ParseReleaseID(text)
	if err != nil {
		return Identity{}, fmt.Errorf("identity: want %s, %s, %s or an ID: %w", ContentIdentity, NodeIdentity, AddressIdentity, err)
	}
	return Identity{id.String()}, nil
}

func (i Identity) String() string { return i.text }

// release returns the ID of the release that a build is on a node.
// A pack never has the ID of a build with the same files, whose plain URLs lead to it.
func (i Identity) release(m *holdfast.Manifest, pack bool, name, address string) (holdfast.ReleaseID, error) {
	kind := ""
	if pack {
		kind = "\npack"
	}
	with := func(what string) holdfast.ReleaseID {
		return holdfast.DigestOf([]byte(m.Digest().String() + "\n" + what + kind)).AutoID()
	}
	switch i.text {
	case ContentIdentity:
		if pack {
			return with(""), nil
		}
		return m.Digest().AutoID(), nil
	case NodeIdentity:
		return with(name), nil
	case AddressIdentity:
		return with(address), nil
	}
	return holdfast.ParseReleaseID(i.text)
}

// CheckAddress refuses an address that says nothing about the node that has it: on
// ":8080" every node listens.
func CheckAddress(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		return fmt.Errorf("%w: the address %q does not tell this node from others", holdfast.ErrInvalid, address)
	}
	return nil
}
