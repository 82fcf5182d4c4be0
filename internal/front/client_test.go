package front

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func proxies(t testing.TB, text string) Proxies {
	t.Helper()
	p, err := ParseProxies(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseProxies(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8":            "10.0.0.0/8",
		"10.1.2.3/8, ::1":       "10.0.0.0/8,::1/128",
		"192.0.2.7":             "192.0.2.7/32",
		"2001:db8::/32":         "2001:db8::/32",
		"::ffff:10.0.0.0/104":   "10.0.0.0/8",
		"127.0.0.1,10.0.0.0/16": "127.0.0.1/32,10.0.0.0/16",
	} {
		if got := proxies(t, text); got.String() != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "10.0.0.0/33", "nginx", "10.0.0.1:80", "fe80::1%eth0", "10.0.0.0/8,"} {
		if got, err := ParseProxies(text); err == nil {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestClient(t *testing.T) {
	const trusted = "10.0.0.0/8,2001:db8:1::/48"
	for _, test := range []struct {
		name, peer, field string
		values            []string
		want              string
	}{
		{"no proxy", "192.0.2.1:99", "X-Forwarded-For", []string{"198.51.100.1"}, "192.0.2.1:99"},
		{"one proxy", "10.0.0.1:99", "X-Forwarded-For", []string{"198.51.100.1"}, "198.51.100.1"},
		{"no field", "10.0.0.1:99", "X-Forwarded-For", nil, "10.0.0.1:99"},
		{"what the client claims", "10.0.0.1:99", "X-Forwarded-For", []string{"127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:99", "X-Forwarded-For", []string{"1.2.3.4, 198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
		{"two lines", "10.0.0.1:99", "X-Forwarded-For", []string{"198.51.100.1", "10.9.9.9"}, "198.51.100.1"},
		{"all are proxies", "10.0.0.1:99", "X-Forwarded-For", []string{"10.7.7.7, 10.9.9.9"}, "10.7.7.7"},
		{"not an address", "10.0.0.1:99", "X-Forwarded-For", []string{"198.51.100.1, unknown, 10.9.9.9"}, "10.9.9.9"},
		{"with a port", "10.0.0.1:99", "X-Forwarded-For", []string{"198.51.100.1:1234"}, "198.51.100.1"},
		{"IPv6", "[2001:db8:1::1]:99", "X-Forwarded-For", []string{"[2001:db8:2::2]:80"}, "2001:db8:2::2"},
		{"IPv6, bare", "[2001:db8:1::1]:99", "X-Forwarded-For", []string{"2001:db8:2::2"}, "2001:db8:2::2"},
		{"IPv6, in brackets", "10.0.0.1:99", "X-Forwarded-For", []string{"[2001:db8:2::2]"}, "2001:db8:2::2"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:99", "X-Forwarded-For", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"the other field", "10.0.0.1:99", "Forwarded", []string{"for=198.51.100.1"}, "10.0.0.1:99"},

		{"RFC 7239", "10.0.0.1:99", "forwarded", []string{`for=192.0.2.43, for="[2001:db8:cafe::17]:4711";proto=http;by=203.0.113.43`}, "2001:db8:cafe::17"},
		{"case, order", "10.0.0.1:99", "forwarded", []string{`proto=https; FOR="198.51.100.1:47011"`}, "198.51.100.1"},
		{"obfuscated port", "10.0.0.1:99", "forwarded", []string{`for="198.51.100.1:_x9"`}, "198.51.100.1"},
		{"obfuscated", "10.0.0.1:99", "forwarded", []string{`for=198.51.100.1, for=_gazonk`}, "10.0.0.1:99"},
		{"through two", "10.0.0.1:99", "forwarded", []string{`for=198.51.100.1`, `for=10.2.2.2`}, "198.51.100.1"},
		{"an open quote of the client's", "10.0.0.1:99", "forwarded", []string{`for="198.51.100.9, for=198.51.100.1`}, "198.51.100.1"},
		{"a comma in quotes", "10.0.0.1:99", "forwarded", []string{`for=198.51.100.1;by="a, \"b"`}, "198.51.100.1"},
		{"without for", "10.0.0.1:99", "forwarded", []string{`for=198.51.100.1, proto=https`}, "10.0.0.1:99"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Clients{Proxies: proxies(t, trusted), Forwarded: test.field == "forwarded"}
			r := &http.Request{RemoteAddr: test.peer, Header: http.Header{}}
			for _, v := range test.values {
				r.Header.Add(test.field, v)
			}
			if got := c.Of(r); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestClientsCannotChoose: whatever a client sends, the address seen by the trusted proxy
// counts.
func TestClientsCannotChoose(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		claims := rapid.StringMatching(`[ -~]{0,60}`).Draw(rt, "claims")
		for _, forwarded := range []bool{false, true} {
			c := Clients{Proxies: proxies(t, "10.0.0.0/8"), Forwarded: forwarded}
			added, name := "198.51.100.1", "X-Forwarded-For"
			if forwarded {
				added, name = "for=198.51.100.1", "Forwarded"
			}
			for _, values := range [][]string{{claims, added}, {claims + ", " + added}} {
				r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{name: values}}
				if got := c.Of(r); got != "198.51.100.1" {
					rt.Fatalf("%q: %s", values, got)
				}
			}
		}
	})
}

func FuzzClient(f *testing.F) {
	for _, text := range []string{"", "1.2.3.4", `for="[::1]:80";by=x, for=_y`, `"`, `\`, ",,,", `for="a\"`, "[", "[]:", "for=[::1"} {
		f.Add(text, true)
		f.Add(text, false)
	}
	f.Fuzz(func(t *testing.T, text string, forwarded bool) {
		c := Clients{Proxies: proxies(t, "0.0.0.0/0,::/0"), Forwarded: forwarded}
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {text}, "Forwarded": {text}}}
		got := c.Of(r)
		if got == r.RemoteAddr {
			return
		}
		if a, err := netip.ParseAddr(got); err != nil || a.Zone() != "" || a.Is4In6() || strings.TrimSpace(got) != got {
			t.Errorf("%q: %q is no address", text, got)
		}
	})
}
