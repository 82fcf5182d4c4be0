package holdfast

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// Digest is the SHA-256 of some bytes (FIPS 180-4). Its text form is 64
// lower-case hexadecimal digits. The zero Digest stands for "none".
type Digest [sha256.Size]byte

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// ParseDigest reads the 64 lower-case hexadecimal digits that String writes.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) || !IsHex(s) {
		return Digest{}, fmt.Errorf("%w: digest %q: want 64 lower-case hexadecimal digits", ErrInvalid, clip(s))
	}
	for i := range d {
		d[i] = hexValue(s[2*i])<<4 | hexValue(s[2*i+1])
	}
	return d, nil
}

// hexValue expects digits that IsHex accepts.
func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c - 'a' + 10
}

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 12 hexadecimal digits, for display.
func (d Digest) Short() string { return hex.EncodeToString(d[:6]) }

// IsZero reports whether d is the zero Digest.
func (d Digest) IsZero() bool { return d == Digest{} }

// MarshalText writes the form that ParseDigest reads.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is ParseDigest.
func (d *Digest) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDigest(string(b))
	return err
}

// HasPrefix reports whether the text form of d starts with the lower-case
// hexadecimal digits of prefix. It does not allocate: URLs are resolved with it.
func (d *Digest) HasPrefix(prefix string) bool {
	const digits = "0123456789abcdef"
	if len(prefix) > hex.EncodedLen(len(d)) {
		return false
	}
	for i := range len(prefix) {
		nibble := d[i/2] >> 4
		if i%2 == 1 {
			nibble = d[i/2] & 0x0f
		}
		if prefix[i] != digits[nibble] {
			return false
		}
	}
	return true
}

// AutoID returns the release ID that "auto" stands for: the first 12 characters
// of the lower-case base32 form (RFC 4648, section 6) of a manifest's digest.
func (d Digest) AutoID() ReleaseID {
	return ReleaseID{strings.ToLower(base32.StdEncoding.EncodeToString(d[:]))[:12]}
}

// IsHex reports whether s consists of lower-case hexadecimal digits only.
func IsHex(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// clip limits the length of hostile input in error messages.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
