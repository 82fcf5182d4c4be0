package etcdkv

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// renewals is the stream for renewing a lease. It stays open because each new stream is a
// login, and etcd checks passwords slowly. (KeepAliveOnce of etcd's client opens one each
// time. KeepAlive does not, but it does not report when the renewal was sent that an
// answer belongs to.)
type renewals struct {
	client pb.LeaseClient
	id     int64
	stream pb.Lease_LeaseKeepAliveClient // nil: not open
	ctx    context.Context               // of the stream
	cancel context.CancelCauseFunc
}

func (d *Driver) newRenewals(id clientv3.LeaseID) *renewals {
	return &renewals{client: pb.NewLeaseClient(d.client.ActiveConnection()), id: int64(id)}
}

// renew requests one renewal and waits for the answer. After an error the next one goes
// to another member.
func (r *renewals) renew(ctx context.Context, timeout time.Duration) error {
	if r.stream == nil {
		r.ctx, r.cancel = context.WithCancelCause(ctx)
	}
	timer := time.AfterFunc(timeout, func() { r.cancel(errNoAnswer) })
	defer timer.Stop()
	resp, err := r.exchange()
	if err != nil {
		err = because(r.ctx, rpctypes.Error(err))
		r.end()
		return err
	}
	if resp.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return nil
}

func (r *renewals) exchange() (_ *pb.LeaseKeepAliveResponse, err error) {
	if r.stream == nil {
		if r.stream, err = r.client.LeaseKeepAlive(r.ctx, grpc.WaitForReady(true)); err != nil {
			return nil, err
		}
	}
	if err := r.stream.Send(&pb.LeaseKeepAliveRequest{ID: r.id}); err != nil {
		return nil, err
	}
	return r.stream.Recv()
}

// end closes the stream.
func (r *renewals) end() {
	if r.cancel != nil {
		r.cancel(nil)
	}
	r.stream = nil
}
