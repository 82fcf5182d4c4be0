package peer

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// stall is how long a peer may go without progress: less than blob.Options.Stall with
	// peers, so that there is time for the next one.
	stall = time.Second
	// slowest is the minimum average rate of a peer after the first seconds, in bytes a
	// second.
	slowest  = 256 << 10
	patience = 5 * time.Second
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 8 << 10
)

// ClientConfig of a Client. Secrets and Logger are required.
type ClientConfig struct {
	Secrets Secrets
	TLS     *tls.Config // nil: cleartext
	Logger  *slog.Logger
}

// Node is a node that can be asked.
type Node struct {
	Name    string `json:"name"`
	Address string `json:"address"` // host:port of its peer listener
}

// valid reports whether the address is a host and port, without other parts of a URL.
func (n Node) valid() bool {
	u, err := url.Parse("http://" + n.Address + "/")
	return err == nil && u.Host == n.Address && u.Hostname() != "" && u.Port() != "" && u.Path == "/" && u.RawQuery == ""
}

// Client asks peers. All methods may be called concurrently.
type Client struct {
	config  ClientConfig
	http    *http.Client
	scheme  string
	wanted  wait.Hint
	reading chan struct{} // holds one value while a text is being read

	mu    sync.Mutex
	peers map[Node]*peer
}

var _ blob.Peers = (*Client)(nil)

// NewClient returns a client that knows no peers yet.
func NewClient(c ClientConfig) *Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	scheme := "http"
	if c.TLS != nil {
		scheme = "https"
		c.TLS = c.TLS.Clone()
		c.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	// Each request has its own connection: if a peer sent data on an idle one, net/http
	// would write to the standard log. A transfer detects silence itself; the bounds here
	// are for connections it left behind.
	return &Client{
		config: c, scheme: scheme, peers: make(map[Node]*peer),
		wanted: wait.NewHint(), reading: make(chan struct{}, 1),
		http: &http.Client{
			Transport: &http.Transport{
				Proxy: nil, DialContext: (&net.Dialer{Timeout: 2 * stall}).DialContext, Protocols: protocols,
				TLSClientConfig: c.TLS, TLSHandshakeTimeout: 2 * stall, DisableKeepAlives: true,
				DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Wanted receives a value when a request needed a peer: the list of peers should be
// updated.
func (c *Client) Wanted() <-chan struct{} { return c.wanted }

// Update sets the current peers. It keeps the state of those that stay, and skips invalid
// addresses.
func (c *Client) Update(nodes []Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.peers
	c.peers = make(map[Node]*peer, len(nodes))
	for _, n := range nodes {
		if !n.valid() {
			continue
		}
		p := known[n]
		if p == nil {
			p = &peer{Node: n, client: c, told: told{most: 32}}
		}
		c.peers[n] = p
	}
}

// For implements blob.Peers: all peers that are not paused, in an order that differs by
// object, so that widely held objects are fetched from all.
func (c *Client) For(ref blob.Ref) []blob.Peer { return asPeers(c.candidates(ref.Name.String())) }

func asPeers(peers []*peer) (all []blob.Peer) {
	for _, p := range peers {
		all = append(all, p)
	}
	return all
}

// First returns the peers to ask for ref like For, but those at the addresses come first,
// in this order.
func (c *Client) First(ref blob.Ref, addresses []string) []blob.Peer {
	all := c.candidates(ref.Name.String())
	place := func(p *peer) int {
		if i := slices.Index(addresses, p.Address); i >= 0 {
			return i
		}
		return len(addresses)
	}
	slices.SortStableFunc(all, func(a, b *peer) int { return cmp.Compare(place(a), place(b)) })
	return asPeers(all)
}

// Any implements blob.Peers.
func (c *Client) Any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.peers) > 0
}

// candidates orders the candidates for the object of that name.
func (c *Client) candidates(name string) []*peer {
	c.wanted.Give()
	c.mu.Lock()
	var all []*peer
	for _, p := range c.peers {
		if p.available(time.Now()) {
			all = append(all, p)
		}
	}
	c.mu.Unlock()
	// Rendezvous hashing: peers that come or go move nothing between the others.
	rank := func(p *peer) uint64 {
		h := fnv.New64a()
		_, _ = io.WriteString(h, p.Address+" "+name)
		return h.Sum64()
	}
	slices.SortFunc(all, func(a, b *peer) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Address, b.Address)) })
	return all
}

// Text fetches the text of a manifest or an inventory, verified, from the first peer that
// has it. Texts are read one at a time, because they may be large.
func (c *Client) Text(ctx context.Context, kind Kind, d holdfast.Digest) ([]byte, error) {
	select {
	case c.reading <- struct{}{}:
		defer func() { <-c.reading }()
	case <-ctx.Done():
		return nil, fmt.Errorf("fetch %s from peers: %w: %w", kind.path(d), holdfast.ErrUnavailable, context.Cause(ctx))
	}
	worst := holdfast.ErrNotFound
	for _, p := range c.candidates(d.String()) {
		text, err := p.text(ctx, kind, d)
		if err == nil {
			return text, nil
		}
		if !errors.Is(err, holdfast.ErrNotFound) {
			worst = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("fetch %s from peers: %w", kind.path(d), worst)
}

func (p *peer) text(ctx context.Context, kind Kind, d holdfast.Digest) ([]byte, error) {
	t, err := p.open(ctx, kind.path(d), -1)
	if err != nil {
		return nil, err
	}
	defer t.Close() //nolint:errcheck // was only read
	text, err := io.ReadAll(t)
	if err != nil {
		return nil, err
	}
	if got := holdfast.DigestOf(text); got != d {
		err := fmt.Errorf("%w: %d bytes with the digest %s for %s", holdfast.ErrUnavailable, len(text), got, kind.path(d))
		p.distrust(err)
		return nil, err
	}
	return text, nil
}
