package node

import (
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/admin"
	"github.com/holdfast-web/holdfast/internal/live"
	"github.com/holdfast-web/holdfast/internal/wait"
)

// Status is the content of /readyz. A node that serves its state from before an outage is
// ready: all nodes may be in that situation.
func (n *Node) Status() admin.Status {
	t, health := n.keeper.Table(), n.keeper.Health()
	s := admin.Status{Leader: n.leading.Load()}
	if health.Err != nil {
		s.Stale, s.Since, s.Registry = true, health.Read, health.Err.Error()
	}
	switch {
	case n.draining.Load():
		s.Reason = "draining"
	case t == nil:
		s.Reason = "the registry has not been read yet"
	default:
		s.Revision = t.Revision
		s.Reason = n.withoutStore(n.lacks(t))
		if s.Reason == "" && !n.entered.Load() && health.Err == nil {
			s.Reason = n.notEntered()
		}
		if s.Reason == "" && !n.isListening() {
			s.Reason = "the address of the sites is being opened"
		}
	}
	s.Ready = s.Reason == ""
	return s
}

// notEntered says why the node is not in the registry.
func (n *Node) notEntered() string {
	reason := "the node is being entered into the registry"
	if err := n.refused.err(); err != nil {
		reason += ": " + err.Error()
	}
	return reason
}

// Warm reports whether a release can be served from nearby: the bodies of the side's live
// release, or of the node's own, are local, or that took too long.
func (n *Node) Warm(app holdfast.AppName, id holdfast.ReleaseID) bool {
	t, k := n.keeper.Table(), warmKey{app, id}
	return t != nil && liveHere(t)[k] != nil && (n.config.Warmer == nil || n.warmth.has(k))
}

// withoutStore adds why the store is not open to the reasons for not being ready. For a
// node without stored state it is a separate reason.
func (n *Node) withoutStore(reason string) string {
	err := n.store.err()
	switch {
	case err == nil:
		return reason
	case reason != "":
		return reason + ", and the store is out of reach: " + err.Error()
	case n.restarted:
		return ""
	}
	return "the store is out of reach: " + err.Error()
}

// lacks names a release that has to be loaded before the node is ready, or "": those that
// are live on its side, and for a while all others that are served. A manifest that
// cannot be fetched must not keep a node out permanently, and a manifest that no node has
// must not keep all nodes out.
func (n *Node) lacks(t *live.Table) string {
	since := n.patientSince.Load()
	patient := since != nil && time.Since(*since) < n.config.WarmFor
	for _, app := range t.Apps() {
		r := app.Live()
		if r != nil && !r.Loaded() && (patient || !n.missing.has(warmKey{app.Name, r.ID})) {
			return "release " + r.ID.String() + " of app " + app.Name.String() + ", which is live, is being loaded"
		}
		for r := range app.Releases {
			if patient && r.State.Servable() && !r.Loaded() {
				return "release " + r.ID.String() + " of app " + app.Name.String() + ", which is " + r.State.String() + ", is being loaded"
			}
		}
	}
	return ""
}

func (n *Node) onSwap(t *live.Table) {
	now := time.Now()
	n.patientSince.CompareAndSwap(nil, &now)
	n.config.Logger.Info("routing table updated", "revision", t.Revision, "live", liveOf(t))
	for _, h := range append([]wait.Hint{n.swapped, n.toKeep, n.toReconcile, n.toWarm, n.toCompare, n.toPrepare, n.toForbid, n.changed}, n.toDuty...) {
		h.Give()
	}
	if n.copier != nil {
		n.copier.Hint()
	}
}

func liveOf(t *live.Table) map[string]string {
	m := make(map[string]string, len(t.Apps()))
	for _, a := range t.Apps() {
		if r := a.Live(); r != nil {
			m[a.Name.String()] = r.ID.String()
		}
	}
	return m
}
