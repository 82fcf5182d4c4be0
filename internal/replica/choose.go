package replica

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// Standing says which nodes have a release that nodes brought, and which should.
type Standing struct {
	Owners  []registry.NodeInfo // brought it and are registered
	Holders []registry.NodeInfo // have all of it, including owners
	Chosen  []registry.NodeInfo // should have all of it, besides the owners
	Refused []registry.NodeInfo // say that their stores do not accept it
	// Wanted is how many nodes should have all of it: the number of copies, and one of
	// its owners as long as there is any. 0 where nothing is copied.
	Wanted int

	copies int // the number of copies
}

// Stand derives the state of a release from the entries of all nodes. Every process that
// has read the same entries gets the same result.
func Stand(app holdfast.AppName, r *registry.ReleaseInfo, nodes []registry.NodeInfo) Standing {
	var s Standing
	var able, refusing []registry.NodeInfo
	for _, n := range latest(nodes) {
		owns := ownedBy(&n, app, r)
		if owns {
			s.Owners = append(s.Owners, n)
		}
		if holds(&n, app, r) {
			s.Holders = append(s.Holders, n)
		}
		if n.Copies == nil || n.Copies.Wanted <= 0 {
			continue
		}
		s.copies = max(s.copies, n.Copies.Wanted)
		switch {
		case refuses(&n, app, r):
			s.Refused = append(s.Refused, n)
			if !owns && n.Peer != "" {
				refusing = append(refusing, n)
			}
		case !owns && n.Peer != "":
			able = append(able, n)
		}
	}
	// A refusing node keeps trying if there are not enough others.
	taken := make(map[string]bool)
	for _, n := range s.Owners {
		taken[hostOf(&n)] = true
	}
	s.Chosen = choose(r.Manifest, able, s.copies, taken)
	s.Chosen = append(s.Chosen, choose(r.Manifest, refusing, s.copies-len(s.Chosen), taken)...)
	if s.copies > 0 {
		s.Wanted = s.copies + min(len(s.Owners), 1)
	}
	return s
}

// ownedBy reports whether a node brought a release, or added it as a pack.
func ownedBy(n *registry.NodeInfo, app holdfast.AppName, r *registry.ReleaseInfo) bool {
	return n.Own[app] == r.ID || slices.Contains(r.OwnedBy, n.ID)
}

// holds reports whether a node claims to have all of a release in its current form.
func holds(n *registry.NodeInfo, app holdfast.AppName, r *registry.ReleaseInfo) bool {
	return n.Copies != nil && n.Copies.Held[app][r.ID] == r.Inventory && !r.Inventory.IsZero()
}

// refuses reports whether a node claims that its store does not accept a release in its
// current form.
func refuses(n *registry.NodeInfo, app holdfast.AppName, r *registry.ReleaseInfo) bool {
	return !holds(n, app, r) && n.Copies != nil && n.Copies.Refused[app][r.ID] == r.Inventory && !r.Inventory.IsZero()
}

// settled reports whether all nodes that should have all of it do, and there are enough
// of them: other nodes may delete their parts.
func (s *Standing) settled() bool {
	return s.copies > 0 && len(s.Chosen) >= s.copies && !s.lacking()
}

// lacking reports whether a node that should have all of it does not.
func (s *Standing) lacking() bool {
	return slices.ContainsFunc(s.Chosen, func(n registry.NodeInfo) bool {
		return !slices.ContainsFunc(s.Holders, func(h registry.NodeInfo) bool { return same(&h, &n) })
	})
}

// choose returns k of the candidates by rendezvous hashing: nodes that come or go move
// nothing between the others. It hashes names, which nodes keep when their addresses
// change; addresses only distinguish nodes with the same name. Hosts that are not taken
// come first, each once: nodes of one host are lost together. Where there are not enough
// hosts, copies on one protect at least from the loss of a process or a disk.
func choose(manifest holdfast.Digest, candidates []registry.NodeInfo, k int, taken map[string]bool) []registry.NodeInfo {
	rank := func(n *registry.NodeInfo) uint64 {
		sum := sha256.Sum256(append(manifest[:], n.Name...))
		return binary.BigEndian.Uint64(sum[:8])
	}
	slices.SortFunc(candidates, func(a, b registry.NodeInfo) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), strings.Compare(a.Name, b.Name), strings.Compare(a.Peer, b.Peer))
	})
	var chosen, others []registry.NodeInfo
	for _, n := range candidates {
		host := hostOf(&n)
		if len(chosen) == k || host != "" && taken[host] {
			others = append(others, n)
			continue
		}
		chosen = append(chosen, n)
		taken[host] = true
	}
	return append(chosen, others[:min(max(k-len(chosen), 0), len(others))]...)
}

// hostOf identifies the machine of a node; "" if it says nothing about that.
func hostOf(n *registry.NodeInfo) string { return cmp.Or(n.Host, string(n.Clock)) }

// same reports whether two entries belong to one node, possibly restarted.
func same(a, b *registry.NodeInfo) bool { return a.Name == b.Name && a.Peer == b.Peer }

// latest removes stale entries of restarted nodes.
func latest(nodes []registry.NodeInfo) []registry.NodeInfo {
	type name struct{ name, peer, id string }
	newest := make(map[name]int)
	var kept []registry.NodeInfo
	for _, n := range nodes {
		key := name{n.Name, n.Peer, ""}
		if n.Peer == "" {
			key.id = n.ID // nothing says that it is the same one
		}
		i, known := newest[key]
		switch {
		case !known:
			newest[key] = len(kept)
			kept = append(kept, n)
		case kept[i].Started.Before(n.Started):
			kept[i] = n
		}
	}
	return kept
}
