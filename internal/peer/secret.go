package peer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

const (
	// scheme of the Authorization header: the time of the request in seconds since 1970,
	// a dot, and the signature in hexadecimal digits.
	scheme = "Holdfast-HMAC-SHA256 "
	// MaxSkew is how far the clocks of two nodes may differ, and how long an intercepted
	// request can be replayed. A replay returns only what was already intercepted.
	MaxSkew = 5 * time.Minute
	// MinSecret is the minimum length of a secret, in bytes.
	MinSecret  = 16
	maxSecrets = 8
)

// Secrets are shared by the nodes of a cluster. A node signs with the first, and accepts
// all, so that they can be changed one node at a time.
//
// A signature covers the address of the peer, the path, the range, the size and the time:
// it is useless for another object or another peer.
type Secrets struct{ keys [][]byte }

// ParseSecrets reads one secret per line.
func ParseSecrets(text string) (Secrets, error) {
	var s Secrets
	for line := range strings.Lines(text) {
		key := strings.TrimSpace(line)
		switch {
		case key == "":
		case len(key) < MinSecret:
			return Secrets{}, fmt.Errorf("%w: a secret of %d characters is too short: want at least %d", holdfast.ErrInvalid, len(key), MinSecret)
		default:
			s.keys = append(s.keys, []byte(key))
		}
	}
	if len(s.keys) == 0 || len(s.keys) > maxSecrets {
		return Secrets{}, fmt.Errorf("%w: %d secrets: want 1 to %d, one a line", holdfast.ErrInvalid, len(s.keys), maxSecrets)
	}
	return s, nil
}

// String keeps secrets out of logs.
func (s Secrets) String() string { return strconv.Itoa(len(s.keys)) + " secrets" }

// GoString also keeps secrets out of logs.
func (s Secrets) GoString() string { return s.String() }

// sign signs a request to the peer at address.
func (s Secrets) sign(r *http.Request, address string, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	r.Header.Set("Authorization", scheme+at+"."+hex.EncodeToString(signature(s.keys[0], r, address, r.URL.Path, at)))
}

// verify reports whether a request to address has a recent signature with one of the
// secrets.
func (s Secrets) verify(r *http.Request, address string, now time.Time) bool {
	text, ok := strings.CutPrefix(r.Header.Get("Authorization"), scheme)
	at, sum, ok2 := strings.Cut(text, ".")
	seconds, err := strconv.ParseInt(at, 10, 64)
	got, err2 := hex.DecodeString(sum)
	if !ok || !ok2 || err != nil || err2 != nil || now.Sub(time.Unix(seconds, 0)).Abs() > MaxSkew {
		return false
	}
	fits := false
	for _, key := range s.keys {
		if hmac.Equal(got, signature(key, r, address, r.RequestURI, at)) {
			fits = true
		}
	}
	return fits
}

// signature covers everything that an answer depends on. None of the parts can contain a
// line break, which net/http ensures.
func signature(key []byte, r *http.Request, address, path, at string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range []string{"holdfast peer 1", r.Method, address, path, r.Header.Get("Range"), r.Header.Get(sizeHeader), at} {
		mac.Write([]byte(part + "\n"))
	}
	return mac.Sum(nil)
}
