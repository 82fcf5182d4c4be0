package node

import (
	"context"
	"time"

	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	// openEvery is how often a node that cannot answer yet looks whether it can.
	openEvery = 5 * time.Millisecond
	// handover is how long a node goes on answering after another one got its new
	// connections: for those that were under way to it, and for clients to end theirs.
	handover = 500 * time.Millisecond
)

// Listening returns a channel that is closed when the sites' clients can connect.
func (n *Node) Listening() <-chan struct{} { return n.listening }

// answer serves the sites once the node can answer for them: until then clients are
// refused, or wait, if the service manager keeps the socket. A node that cannot within
// Config.OpenWithin says so to them (503).
func (n *Node) answer(ctx context.Context, s *server) error {
	late := time.NewTimer(n.config.OpenWithin)
	defer late.Stop()
	tick := time.NewTicker(openEvery)
	defer tick.Stop()
	for waiting := true; waiting && !n.answerable(); {
		select {
		case <-ctx.Done():
			return nil
		case <-s.given:
			return nil
		case <-late.C:
			n.config.Logger.Warn("listening although this node is not ready, as /readyz says: it answers 503 for what it cannot serve yet")
			waiting = false
		case <-tick.C:
		}
	}
	l, err := s.socket.Listen()
	if err != nil {
		return err
	}
	close(n.listening)
	n.config.Logger.Info("listening", "address", s.socket.Addr().String(), "after", time.Since(n.started).Round(time.Millisecond))
	return s.Serve(s.wrap(l))
}

// answerable reports whether the node can answer for the live releases of its side. A
// node that brings releases has to be in the registry for that.
func (n *Node) answerable() bool {
	t := n.keeper.Table()
	return t != nil && n.withoutStore(n.lacks(t)) == "" && (len(n.config.Own) == 0 || n.entered.Load() || n.keeper.Health().Err != nil)
}

// isListening reports whether the sites' clients can connect.
func (n *Node) isListening() bool {
	select {
	case <-n.listening:
		return true
	default:
		return false
	}
}

// leave ends the servers cleanly. They end each connection with its next answer, for
// Config.Notice and, if another process accepts connections already, a moment longer;
// then no connection is accepted, and requests in flight are finished.
func (n *Node) leave(failing context.Context, servers []*server) {
	n.draining.Store(true)
	for _, s := range servers {
		s.Leave()
	}
	rest := func(d time.Duration) { _ = wait.For(failing, d) }
	rest(n.config.Notice)
	if n.site != nil && (n.site.Shared || n.site.Inherited) {
		if n.site.Shared {
			rest(handover) // the other process gets new ones; those on their way arrive
		}
		if err := n.site.Close(); err != nil {
			n.config.Logger.Warn("socket not closed", "error", err)
		}
		rest(handover)
	}
	n.shutdown(servers)
}
