package main

import (
	"context"
	"fmt"
	"log/slog"

	sockets "github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/node"
)

// inheritedSockets are those that the service manager opened for this process: of the
// names admin and peer, any other is the sites' (sd_listen_fds(3)).
func inheritedSockets() (in node.Inherited, err error) {
	named, err := sockets.ListenersWithNames()
	if err != nil {
		return in, fmt.Errorf("take sockets from the service manager: %w", err)
	}
	for name, listeners := range named {
		at := &in.Site
		switch name {
		case "admin":
			at = &in.Admin
		case "peer":
			at = &in.Peers
		}
		if *at != nil || len(listeners) != 1 {
			return in, hinted(fmt.Errorf("the service manager hands over several sockets for the same purpose, one of them named %s", name),
				"give each socket unit one ListenStream, and FileDescriptorName=site, admin or peer")
		}
		*at = listeners[0]
	}
	return in, nil
}

// manager tells the service manager, if there is one, how the node is (sd_notify(3)).
type manager struct{ log *slog.Logger }

func (m manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("service manager not told", "state", state, "error", err)
	}
}

// watch reports when clients can connect, and when the node begins to stop.
func (m manager) watch(ctx context.Context, n *node.Node, o serveOptions) {
	select {
	case <-n.Listening():
		m.tell(daemon.SdNotifyReady + "\nSTATUS=" + fmt.Sprintf("serving side %s on %s", o.side, n.Addr()))
	case <-ctx.Done():
	}
	<-ctx.Done()
	m.tell(daemon.SdNotifyStopping + "\nSTATUS=" + fmt.Sprintf("finishing open requests, for up to %s", humanDuration(o.notice+o.drain)))
}

// around tells that the node reloads while it does.
func (m manager) around(reload func()) {
	m.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, front.Monotonic()))
	reload()
	m.tell(daemon.SdNotifyReady)
}
