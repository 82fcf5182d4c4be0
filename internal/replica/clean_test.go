package replica

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// displaced is a cluster in which v1 drains and one node has a copy that it does not
// need: it is no longer one of the chosen nodes. better, if there is one copy, is the
// node that replaced it.
func displaced(t *testing.T, c *cluster) (spare, better *member) {
	c.find("a").restart("v1")
	c.settle()
	if len(c.holders("v1")) < 2 {
		t.Fatal("v1 was not copied")
	}
	spare = c.find(c.holders("v1")[1])
	c.find("a").stop()
	for i := 0; c.ranked("v1")[0] == spare.name; i++ {
		better = c.join(string(rune('p' + i)))
	}
	if better == nil {
		t.Fatal("nobody took its place")
	}
	return spare, better
}

// An unneeded copy is deleted when the nodes that should have one have had it for a
// while, and not before.
func TestForgets(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		spare, better := displaced(t, c)
		spare.gives = 2
		c.wait(time.Hour)
		if !spare.has(c.release("v1")) {
			t.Fatal("removed although nobody else has it")
		}
		spare.gives = -1
		time.Sleep(time.Minute)
		better.round()
		better.tell()
		spare.round() // it sees that it is not needed
		spare.tell()
		if len(spare.entry.Copies.Held) > 0 {
			t.Errorf("it says that it has what it is about to remove")
		}
		time.Sleep(Floor - time.Second)
		spare.round()
		if !spare.has(c.release("v1")) {
			t.Fatal("removed too early")
		}
		time.Sleep(Floor) // since the last time
		spare.round()
		if n := spare.objects(); n != 0 || !better.has(c.release("v1")) {
			t.Errorf("%d objects are left; the other one has it: %v", n, better.has(c.release("v1")))
		}
		better.stop() // and now it is needed again
		spare.round()
		spare.tell()
		if len(spare.entry.Copies.Held) > 0 {
			t.Error("it says that it has what it removed")
		}
		better.start("")
		better.stop()
		better.up = true // it answers, but is not registered
		time.Sleep(time.Minute)
		spare.round()
		if !spare.has(c.release("v1")) {
			t.Error("it was not copied again")
		}
	})
}

// A node that is about to drop a copy does not count as a holder.
func TestNotRelied(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		last, _ := displaced(t, c)
		var middle, best *member
		for i := 'e'; middle == nil || best == nil; i++ { // three have it, one of them should
			m := c.join(string(i))
			switch rank := slices.Index(c.ranked("v1"), m.name); {
			case rank == 0 && middle != nil:
				best = m
			case rank == 0:
				middle = m
			}
			c.settle()
		}
		if !last.has(c.release("v1")) || !middle.has(c.release("v1")) || !best.has(c.release("v1")) {
			t.Fatalf("held by %v", c.holders("v1"))
		}
		for _, m := range c.up() {
			if m != middle && m != best && m != last {
				m.stop()
			}
		}
		c.wait(Floor - 2*time.Minute) // one more pass, and they delete it
		time.Sleep(2 * Floor)
		middle.disk.SetHook(func(_ context.Context, op memstore.Op, _ string) error {
			if op == memstore.Delete { // meanwhile, the one that should have it dies
				middle.disk.SetHook(nil)
				best.stop()
				last.round()
			}
			return nil
		})
		middle.round()
		if best.up {
			t.Fatal("nothing was removed")
		}
		if err := c.lacks(c.release("v1")); err != nil {
			t.Fatal(err)
		}
		c.settle()
		if !middle.has(c.release("v1")) {
			t.Error("it was not copied again")
		}
	})
}

// A node whose entry still claims a copy does not delete it.
func TestGivesUpFirst(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		spare, better := displaced(t, c)
		better.round()
		better.tell()
		for range 10 { // and never gets to update its entry
			spare.round()
			time.Sleep(Floor)
		}
		if !spare.has(c.release("v1")) {
			t.Error("it was removed")
		}
	})
}

// It does not delete a gone release either: the release may come back before the entry
// changes.
func TestGivesUpGone(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		c.find("a").restart("v1")
		c.settle()
		c.find("a").stop()
		b := c.find("b")
		c.release("v1").State = holdfast.Gone
		b.round() // it does not get to update its entry
		time.Sleep(2 * Floor)
		b.round()
		c.find("a").start("v1")
		if !b.has(c.release("v1")) {
			t.Error("it says that it has what it removed")
		}
		c.find("a").stop()
		c.release("v1").State = holdfast.Gone
		c.wait(2 * Floor)
		if n := b.objects(); n > 0 {
			t.Errorf("%d objects are left", n)
		}
	})
}

// All nodes delete a gone release. Others stay on every node that should have them: live,
// draining, or retired.
func TestRemovesGone(t *testing.T) {
	inCluster(t, 1, "a b c", func(t *testing.T, c *cluster) {
		for _, build := range []string{"v1", "v2", "v3", "v4"} {
			c.find("a").restart(build)
			c.settle()
		}
		c.release("v1").State, c.release("v2").State = holdfast.Gone, holdfast.Retired
		for _, m := range c.members {
			m.disk.SetHook(func(_ context.Context, op memstore.Op, key string) error {
				if op == memstore.Delete && m.locked {
					t.Errorf("%s removes %s while something else stores", m.name, key)
				}
				return nil
			})
			m.locked = true
		}
		c.wait(2 * Floor)
		if n := len(c.holders("v1")); n == 0 {
			t.Fatal("v1 was removed although the stores are in use")
		}
		for _, m := range c.members {
			m.locked = false
		}
		c.wait(3 * Floor)
		c.wantHolders("v1", "")
		for id, least := range map[string]int{"v2": 1, "v3": 1, "v4": 2} {
			if len(c.holders(id)) < least {
				t.Errorf("%s is held by %v", id, c.holders(id))
			}
		}
		for _, m := range c.up() {
			for text, err := range m.store.Manifests(t.Context()) {
				if c.check(err); text.Digest == c.release("v1").Manifest {
					t.Error("the manifest is still there")
				}
			}
		}
	})
}

// A node removes nothing that was stored recently, nothing while it is not registered,
// and nothing while it cannot read what it needs.
func TestRemovesNothing(t *testing.T) {
	inCluster(t, 1, "a", func(t *testing.T, c *cluster) {
		a := c.find("a")
		a.restart("v1")
		a.restart("v2")
		c.release("v1").State = holdfast.Gone
		const before = 9 // of two builds that share one
		entry := a.entry
		a.entry = nil
		c.derive()
		time.Sleep(2 * Floor)
		a.round()
		if n := a.objects(); n != before {
			t.Fatalf("%d objects while it is not registered", n)
		}
		a.entry = entry
		c.derive()
		corrupt := "inventories/" + c.release("v2").Inventory.String()
		flip := func(b []byte) []byte { b[100] ^= 1; return b }
		a.disk.Change(corrupt, flip)
		time.Sleep(Floor)
		if _, err := a.copier.round(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing is removed") {
			t.Errorf("round = %v", err)
		}
		if n := a.objects(); n != before {
			t.Fatalf("%d objects with an inventory that cannot be read", n)
		}
		a.disk.Change(corrupt, flip)
		const young = "young"
		name := holdfast.ObjectName{Digest: holdfast.DigestOf([]byte(young))}
		time.Sleep(Floor)
		_, err := a.store.PutObject(t.Context(), name, int64(len(young)), strings.NewReader(young))
		c.check(err)
		a.round()
		if n := a.objects(); n != before-4+1 {
			t.Errorf("%d objects after all", n)
		}
		time.Sleep(Floor + time.Second)
		a.round()
		if n := a.objects(); n != before-4 {
			t.Errorf("%d objects when it is not young any more", n)
		}
	})
}

// A registry replaced by an older one lacks releases that nodes serve, and that were not
// given up deliberately.
func TestRegistryWentBack(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		c.find("a").restart("v1")
		c.settle()
		c.find("a").stop()
		b := c.find("b")
		v1 := *c.release("v1")
		c.revision = 2
		b.knows = c.registry()
		c.revision, c.app.Releases = 1, nil
		for range 3 {
			time.Sleep(Floor)
			b.round()
		}
		if !b.has(&v1) {
			t.Error("v1 was removed: the registry that it was restored to does not know it yet")
		}
		c.revision = 3 // an operator has decided
		b.knows = nil
		time.Sleep(Floor)
		b.round()
		if n := b.objects(); n != 0 {
			t.Errorf("%d objects are left", n)
		}
	})
}

// The disk of a returning node is used: releases that no other node has are served and
// copied; gone ones are deleted.
func TestComesBack(t *testing.T) {
	inCluster(t, 1, "a b", func(t *testing.T, c *cluster) {
		a := c.find("a")
		for _, build := range []string{"v1", "v2"} {
			a.restart(build)
		}
		a.stop()
		c.release("v1").State = holdfast.Gone
		c.settle()
		if c.lacks(c.release("v2")) == nil {
			t.Fatal("somebody has it")
		}
		time.Sleep(time.Hour)
		a.start("")
		c.settle()
		s := Stand(c.app.Name, c.release("v2"), c.nodes())
		if err := c.lacks(c.release("v2")); err != nil || !s.safe() {
			t.Errorf("%v; it stands %+v", err, s)
		}
		c.wait(time.Hour)
		c.wantHolders("v1", "")
		if n := len(c.holders("v2")); n != 1 {
			t.Errorf("%d copies", n)
		}
	})
}
