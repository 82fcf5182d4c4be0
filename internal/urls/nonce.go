package urls

import (
	"fmt"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// Nonce is the value in a page's Content-Security-Policy, new for each answer, that lets
// only elements with the same value load scripts and style sheets.
type Nonce struct{ text string }

// ParseNonce accepts a base64-value (CSP level 3, section 2.3.1).
func ParseNonce(text string) (Nonce, error) {
	value := strings.TrimSuffix(strings.TrimSuffix(text, "="), "=")
	if value == "" || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_") != "" {
		return Nonce{}, fmt.Errorf("%w: nonce %q: want base64, such as 16 random bytes make", holdfast.ErrInvalid, text)
	}
	return Nonce{text}, nil
}

// Attribute returns the attribute with a space before it, "" for the zero Nonce.
func (n Nonce) Attribute() string {
	if n.text == "" {
		return ""
	}
	return ` nonce="` + n.text + `"`
}

// With returns the tag with a nonce. The Link field also has it, because the policy also
// applies to its fetches.
func (t Tag) With(n Nonce) Tag {
	if n.text == "" {
		return t
	}
	name := strings.IndexByte(t.HTML, ' ') // where the element's name ends
	t.HTML = t.HTML[:name] + n.Attribute() + t.HTML[name:]
	if t.Hint != "" {
		t.Hint += `;` + n.Attribute()
	}
	return t
}
