package peer

import (
	"fmt"
	"sync"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
)

// How long a peer is paused: twice as long each time in a row.
const (
	failPause  = time.Second
	failMost   = 30 * time.Second
	wrongPause = time.Minute
	wrongMost  = 30 * time.Minute
)

// cause is a kind of peer failure.
type cause string

const (
	unreachable cause = "it cannot be reached"
	refuses     cause = "it does not accept the secret"
	redirects   cause = "it answers with a redirect"
	misanswers  cause = "its answer is not what was asked for"
	slow        cause = "it is too slow"
	breaks      cause = "its answer broke off"
	lies        cause = "it sent other bytes than asked for"
)

// peer is a node with its state.
type peer struct {
	Node
	client *Client
	told   told

	mu    sync.Mutex
	until time.Time // paused
	fails int       // in a row
	wrong int       // ever
}

var _ blob.Peer = (*peer)(nil)

func (p *peer) available(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !now.Before(p.until)
}

// succeeded ends a series of failures. It does not clear wrong bytes.
func (p *peer) succeeded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = 0
}

// failed pauses the peer, and returns a message for the log.
func (p *peer) failed(why cause, err error) error {
	p.mu.Lock()
	p.pause(doubled(failPause, p.fails, failMost))
	p.fails++
	p.mu.Unlock()
	p.log(why, err)
	return fmt.Errorf("%w: peer %s at %s: %s: %w", holdfast.ErrUnavailable, p.Name, p.Address, why, err)
}

// Reject implements blob.Peer.
func (p *peer) Reject(_ blob.Ref, err error) { p.distrust(err) }

// distrust pauses a peer that sent wrong bytes.
func (p *peer) distrust(err error) {
	p.mu.Lock()
	p.pause(doubled(wrongPause, p.wrong, wrongMost))
	p.wrong++
	p.mu.Unlock()
	p.log(lies, err)
}

// pause requires p.mu.
func (p *peer) pause(d time.Duration) {
	if until := time.Now().Add(d); until.After(p.until) {
		p.until = until
	}
}

func doubled(first time.Duration, times int, most time.Duration) time.Duration {
	return min(first<<min(times, 16), most)
}

func (p *peer) log(why cause, err error) {
	if p.told.first(string(why)) {
		p.client.config.Logger.Warn("peer left alone for a while; not logged again for this cause",
			"peer", p.Name, "address", p.Address, "cause", string(why), "error", err)
	}
}
