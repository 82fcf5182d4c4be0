package holdfast

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Coding is the content coding (RFC 9110, section 8.4.1) in which bytes are
// stored and sent.
type Coding uint8

// The codings made at publish. Their order is the order inventories list them in.
const (
	Identity Coding = iota
	Brotli
	Gzip
	Zstd
)

// The codings of deltas (RFC 9842). A delta is made for clients that already have certain
// other bytes, so no inventory lists one, and ParseCoding does not accept them.
const (
	DeltaBrotli Coding = iota + Zstd + 1
	DeltaZstd
)

// MaxDelta is the size in bytes above which a file is neither sent as a delta nor used as
// a dictionary: the reach of a brotli window (RFC 9842, section 4.1).
const MaxDelta = 16<<20 - 16

// Codings lists the codings made at publish, Identity first.
func Codings() [4]Coding { return [4]Coding{Identity, Brotli, Gzip, Zstd} }

// String returns the token of the HTTP content coding registry.
func (c Coding) String() string {
	switch c {
	case Identity:
		return "identity"
	case Brotli:
		return "br"
	case Gzip:
		return "gzip"
	case Zstd:
		return "zstd"
	case DeltaBrotli:
		return "dcb"
	case DeltaZstd:
		return "dcz"
	}
	return "coding(" + strconv.Itoa(int(c)) + ")"
}

// ParseCoding is the inverse of Coding.String.
func ParseCoding(s string) (Coding, error) {
	for _, c := range Codings() {
		if c.String() == s {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%w: coding %q: want identity, br, gzip or zstd", ErrInvalid, clip(s))
}

// ObjectName names stored bytes by their digest and incarnation: the generation of names
// in which the bytes were stored. Each sweep ends a generation, so a deleted name is
// never used again. The first generation is 0.
type ObjectName struct {
	Digest      Digest
	Incarnation uint32
}

// String writes "<digest>" or "<digest>.<incarnation>".
func (n ObjectName) String() string { return string(n.appendText(nil)) }

func (n ObjectName) appendText(b []byte) []byte {
	b = hex.AppendEncode(b, n.Digest[:])
	if n.Incarnation == 0 {
		return b
	}
	return strconv.AppendUint(append(b, '.'), uint64(n.Incarnation), 10)
}

// ParseObjectName is the inverse of ObjectName.String.
func ParseObjectName(s string) (ObjectName, error) {
	text, suffix, numbered := strings.Cut(s, ".")
	d, err := ParseDigest(text)
	if err != nil || !numbered {
		return ObjectName{Digest: d}, err
	}
	n, err := strconv.ParseUint(suffix, 10, 32)
	name := ObjectName{Digest: d, Incarnation: uint32(n)}
	if err != nil || n == 0 || name.String() != s {
		return ObjectName{}, fmt.Errorf("%w: object name %q: want a digest, or a digest, a dot and a number from 1", ErrInvalid, clip(s))
	}
	return name, nil
}

// MarshalText writes the form that ParseObjectName reads.
func (n ObjectName) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText is ParseObjectName.
func (n *ObjectName) UnmarshalText(b []byte) (err error) {
	*n, err = ParseObjectName(string(b))
	return err
}
