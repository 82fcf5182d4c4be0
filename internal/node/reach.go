package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/holdfast-web/holdfast/internal/wait"
)

// reachPause is about the time between two attempts to open the store.
const reachPause = time.Second

// errNotTried is the outcome of an attempt that has not ended.
var errNotTried = errors.New("it has not answered yet")

// reason remembers why something that is wanted is not so yet; nil once it is.
type reason struct{ why atomic.Pointer[error] }

func (u *reason) set(err error) {
	if err == nil {
		u.why.Store(nil)
		return
	}
	u.why.Store(&err)
}

func (u *reason) err() error {
	if why := u.why.Load(); why != nil {
		return *why
	}
	return nil
}

// reach tries to open the store until that succeeds or ctx ends.
func (n *Node) reach(ctx context.Context) error {
	var told said
	for ctx.Err() == nil {
		err := n.config.Reach(ctx)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			now := time.Now()
			n.patientSince.Store(&now)
			n.store.set(nil)
			n.config.Logger.Info("the store is there")
			return nil
		}
		n.store.set(err)
		if told.news(err) {
			n.config.Logger.Warn("the store is out of reach; trying again", "error", err)
		}
		_ = wait.About(ctx, reachPause)
	}
	return nil //nolint:nilerr // logged when it was new
}
