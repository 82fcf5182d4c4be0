package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/stats"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// logins limits how often a commit is sent when etcd refuses it because a login expired.
const logins = 2

// Commit implements kv.Driver.
func (d *Driver) Commit(ctx context.Context, ops ...kv.Op) (kv.Receipt, error) {
	if err := d.checkOps(ops); err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	ctx, leave, err := d.leases.Enter(ctx)
	if err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	defer leave()
	if err := usable(ops); err != nil {
		return kv.Receipt{}, fmt.Errorf("commit: %w", err)
	}
	resp, err := d.send(ctx, ops)
	if err == nil && !resp.Succeeded {
		err = conflict(ops)
	}
	if err != nil {
		return kv.Receipt{}, fmt.Errorf("commit to %s: %w", d.name, err)
	}
	rev := kv.Revision(resp.Header.Revision)
	return kv.MakeReceipt(rev, token(rev), ops), nil
}

func (d *Driver) checkOps(ops []kv.Op) error {
	if err := kv.CheckOps(ops); err != nil {
		return err
	}
	for _, op := range ops {
		if l, ok := op.Lease.(*lease); op.Lease != nil && (!ok || l.driver != d) {
			return fmt.Errorf("create %s: lease of another driver: %w", op.Key, kv.ErrInvalid)
		}
	}
	return nil
}

// usable returns an error if a lease has ended, or may have.
func usable(ops []kv.Op) error {
	for _, op := range ops {
		if op.Lease == nil {
			continue
		}
		select {
		case <-op.Lease.Done():
			return fmt.Errorf("create %s: %w", op.Key, kv.ErrLeaseLost)
		default:
		}
	}
	return nil
}

// send sends the transaction once and reports its outcome.
func (d *Driver) send(ctx context.Context, ops []kv.Op) (resp *clientv3.TxnResponse, err error) {
	compares, changes := d.txn(ops)
	for range logins {
		var left atomic.Bool
		err = d.once(context.WithValue(ctx, departure{}, &left), func(ctx context.Context) (err error) {
			resp, err = d.client.Txn(ctx).If(compares...).Then(changes...).Commit()
			return err
		})
		if err = outcome(err, left.Load()); !isLogin(err) {
			break
		}
	}
	return resp, err
}

// txn translates a commit for etcd. A commit that changes nothing gets a read: etcd
// evaluates a transaction without one against the local state of a member.
func (d *Driver) txn(ops []kv.Op) (compares []clientv3.Cmp, changes []clientv3.Op) {
	for _, op := range ops {
		key := d.keys.key(op.Key)
		compare := clientv3.Compare(clientv3.ModRevision(key), "=", modified(op.Token))
		switch op.Kind {
		case kv.KindCreate:
			compare = clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
			id := clientv3.NoLease
			if l, ok := op.Lease.(*lease); ok {
				id = l.id
			}
			changes = append(changes, clientv3.OpPut(key, string(op.Value), clientv3.WithLease(id)))
		case kv.KindSet:
			changes = append(changes, clientv3.OpPut(key, string(op.Value), clientv3.WithIgnoreLease()))
		case kv.KindDelete:
			changes = append(changes, clientv3.OpDelete(key))
		}
		compares = append(compares, compare)
	}
	if len(changes) == 0 {
		changes = append(changes, clientv3.OpGet(d.keys.key(ops[0].Key), clientv3.WithCountOnly()))
	}
	return compares, changes
}

func conflict(ops []kv.Op) error {
	if len(ops) > 1 {
		return fmt.Errorf("one of %d keys, from %s on, has changed: %w", len(ops), ops[0].Key, kv.ErrConflict)
	}
	if ops[0].Kind == kv.KindCreate {
		return fmt.Errorf("create %s, which exists: %w", ops[0].Key, kv.ErrConflict)
	}
	return fmt.Errorf("%s %s, which has changed: %w", ops[0].Kind, ops[0].Key, kv.ErrConflict)
}

// outcome says what an error means for a commit, depending on whether it was sent.
func outcome(err error, left bool) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		return fmt.Errorf("%w: %w", kv.ErrLeaseLost, err)
	case refused(err):
		return err
	case !left:
		return fmt.Errorf("it was not sent: %w", err)
	case errors.Is(err, kv.ErrClosed): // the connection closed meanwhile: that says nothing about the commit
		return fmt.Errorf("%w: the driver was closed", kv.ErrUnknown)
	}
	return fmt.Errorf("%w: %w", kv.ErrUnknown, err)
}

// refused reports whether etcd rejected a transaction before it applied any of it.
// ErrNoSpace does not count.
func refused(err error) bool {
	return isLogin(err) || slices.ContainsFunc([]error{
		rpctypes.ErrTooManyOps, rpctypes.ErrDuplicateKey, rpctypes.ErrRequestTooLarge,
		rpctypes.ErrTooManyRequests, rpctypes.ErrPermissionDenied, rpctypes.ErrAuthFailed,
	}, func(e error) bool { return errors.Is(err, e) })
}

// departure is the context key of the *atomic.Bool that departures sets.
type departure struct{}

// departures records when a request is handed to a connection: a request that never was
// is known not to have been executed.
type departures struct{}

func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (departures) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); !ok {
		return
	}
	if left, ok := ctx.Value(departure{}).(*atomic.Bool); ok {
		left.Store(true)
	}
}

func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (departures) HandleConn(context.Context, stats.ConnStats) {}
