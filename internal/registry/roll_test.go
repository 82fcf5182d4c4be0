package registry

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestRoll: a process that waits for many nodes reads each entry once after it changed,
// and never again once it meets the condition.
func TestRoll(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		s := &spy{Driver: open()}
		r, node := openRegistry(t, s, newClock()), openRegistry(t, open(), newClock())
		const n = 5
		var entries []*NodeEntry
		for i := range n {
			entries = append(entries, must(node.RegisterNode(t.Context(), NodeInfo{Name: fmt.Sprint(i)}, time.Minute)))
		}
		t.Cleanup(func() {
			for _, e := range entries {
				e.Close()
			}
		})
		roll := r.Roll()
		call := func(wantRead int, want ...string) {
			t.Helper()
			s.reset()
			nodes, err := roll.Call(t.Context(), func(i NodeInfo) bool { return i.Revision > 0 })
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range nodes {
				got = append(got, fmt.Sprintf("%s:%d", i.Name, i.Revision))
			}
			if read := len(slices.Concat(s.gets...)); read != wantRead || !slices.Equal(got, want) {
				t.Errorf("%d entries read, nodes %v; want %d, %v", read, got, wantRead, want)
			}
		}
		call(5, "0:0", "1:0", "2:0", "3:0", "4:0")
		for _, i := range []int{3, 0} {
			if err := entries[i].Update(t.Context(), func(i *NodeInfo) { i.Revision = 7 }); err != nil {
				t.Fatal(err)
			}
		}
		call(5, "0:7", "1:0", "2:0", "3:7", "4:0")
		call(3, "0:7", "1:0", "2:0", "3:7", "4:0")
		if err := entries[3].Close(); err != nil {
			t.Fatal(err)
		}
		call(3, "0:7", "1:0", "2:0", "4:0")
	})
}

// TestWatchNodes: a hint follows every change of a node's entry.
func TestWatchNodes(t *testing.T) {
	eachDriver(t, func(t *testing.T, open opener) {
		r, node := openRegistry(t, open(), newClock()), openRegistry(t, open(), newClock())
		hints := must(r.WatchNodes(t.Context()))
		roll := r.Roll()
		awaitRevision := func(want int64) {
			t.Helper()
			for {
				nodes := must(roll.Call(t.Context(), func(i NodeInfo) bool { return i.Revision == 3 }))
				if len(nodes) == 1 && nodes[0].Revision == want {
					return
				}
				select {
				case <-hints:
				case <-time.After(20 * time.Second):
					t.Fatalf("no hint of revision %d", want)
				}
			}
		}
		entry := must(node.RegisterNode(t.Context(), NodeInfo{Name: "n"}, time.Minute))
		t.Cleanup(func() { entry.Close() })
		for rev := range int64(4) {
			if err := entry.Update(t.Context(), func(i *NodeInfo) { i.Revision = rev }); err != nil {
				t.Fatal(err)
			}
			awaitRevision(rev)
		}
	})
}
