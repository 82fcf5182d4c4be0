package front

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
)

// Proxies are the networks that are trusted to report client addresses.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks in CIDR notation, separated by commas.
func ParseProxies(text string) (Proxies, error) {
	var all Proxies
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(item); err == nil && address.Zone() == "" {
				prefix, err = address.Prefix(address.BitLen())
			}
		}
		if err != nil || !prefix.IsValid() {
			return nil, fmt.Errorf("%w: %q: want addresses or networks, such as 10.0.0.0/8,192.0.2.7", holdfast.ErrInvalid, item)
		}
		all = append(all, netip.PrefixFrom(prefix.Addr().Unmap(), unmappedBits(prefix)).Masked())
	}
	return all, nil
}

// unmappedBits is the length of the prefix, of an IPv4 address if it is one in IPv6 form.
func unmappedBits(p netip.Prefix) int {
	if p.Addr().Is4In6() {
		return max(p.Bits()-96, 0)
	}
	return p.Bits()
}

// String is the inverse of ParseProxies.
func (p Proxies) String() string {
	texts := make([]string, len(p))
	for i, prefix := range p {
		texts[i] = prefix.String()
	}
	return strings.Join(texts, ",")
}

// Trust reports whether a is in one of the networks.
func (p Proxies) Trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// Clients determines the clients of requests.
type Clients struct {
	// Proxies are trusted to report their clients. Without any, the client is the other
	// end of the connection.
	Proxies Proxies
	// Forwarded selects the field Forwarded (RFC 7239) instead of X-Forwarded-For. Only
	// one counts: a proxy that adds one of them lets clients set the other.
	Forwarded bool
}

// Of returns the client's address: with a port where it is the other end of the
// connection, otherwise as reported by a proxy. It follows the hops from the nearest one
// on, as long as each was reported by a trusted one.
func (c Clients) Of(r *http.Request) string {
	if len(c.Proxies) == 0 {
		return r.RemoteAddr
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !c.Proxies.Trust(plainAddress(at.Addr())) {
		return r.RemoteAddr
	}
	name, parse := "X-Forwarded-For", parseHop
	if c.Forwarded {
		name, parse = "Forwarded", parseForwarded
	}
	client := r.RemoteAddr
	for rest := strings.Join(r.Header.Values(name), ","); rest != ""; {
		var hop string
		rest, hop = lastElement(rest)
		address, ok := parse(hop)
		if !ok {
			break // earlier elements were not reported by a trusted hop
		}
		client = address.String()
		if !c.Proxies.Trust(address) {
			break
		}
	}
	return client
}

func plainAddress(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// lastElement cuts off the last element of a list. A comma in a quoted string does not
// separate; nothing the client itself sent earlier can change the last element, including
// unclosed quotes.
func lastElement(list string) (rest, element string) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch {
		case list[i] == '"' && !escaped(list[:i]):
			quoted = !quoted
		case list[i] == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return "", list
}

// escaped reports whether before ends in an odd number of backslashes.
func escaped(before string) bool {
	return (len(before)-len(strings.TrimRight(before, `\`)))%2 == 1
}

// parseHop reads an address with or without a port, an IPv6 one with or without brackets.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if a, err := netip.ParseAddr(text); err == nil {
		return plainAddress(a), true
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return plainAddress(a.Addr()), true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if a, err := netip.ParseAddr(inner); err == nil && a.Is6() {
				return plainAddress(a), true
			}
		}
	}
	return netip.Addr{}, false
}

// parseForwarded reads the parameter for of an element (RFC 7239, sections 4 and 6). An
// obfuscated or unknown identifier is not an address. A port may be obfuscated.
func parseForwarded(element string) (netip.Addr, bool) {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !strings.EqualFold(name, "for") {
			continue
		}
		if inner, ok := strings.CutPrefix(value, `"`); ok {
			if value, ok = strings.CutSuffix(inner, `"`); !ok {
				return netip.Addr{}, false
			}
			value = strings.ReplaceAll(value, `\`, "") // of quoted pairs; no address has one
		}
		if host, port, found := strings.Cut(value, ":_"); found && strings.Trim(port, obfuscated) == "" {
			value = host
		}
		return parseHop(value)
	}
	return netip.Addr{}, false
}

// obfuscated is the alphabet of a name in RFC 7239, section 6.3.
const obfuscated = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
