package zkkv

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"
)

// TestDrained: the wait for the library's goroutines is bounded.
func TestDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan zk.Event)
		go func() {
			ended <- zk.Event{}
			time.Sleep(goodbye / 2)
			close(ended)
		}()
		if !drained(ended, goodbye) {
			t.Error("given up too early")
		}
		began := time.Now()
		if stuck := make(chan zk.Event, 1); drained(stuck, goodbye) || time.Since(began) != goodbye {
			t.Errorf("given up after %v", time.Since(began))
		}
	})
}
