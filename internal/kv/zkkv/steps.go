package zkkv

import (
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/holdfast-web/holdfast/internal/kv"
)

// guardName starts the names of the znodes that guard a multi. No key can have such a
// name, and they never outlive their multi.
const guardName = "holdfast guard "

// step is one request of a multi.
type step struct {
	act     *act // nil for those of a guard
	path    string
	request any
}

// steps builds the multi: guards come before anything that creates children.
func (t *trial) steps() []step {
	var steps []step
	for dir, count := range t.guards {
		steps = append(steps, t.guard(dir, count)...)
	}
	stat := len(t.guards) > 0
	for _, a := range t.acts {
		stat = stat || a.op.Kind == kv.KindSet || a.over != nil && a.op.Lease == nil
	}
	for _, a := range t.acts {
		if a.op.Kind != kv.KindCreate {
			steps = append(steps, a.step())
			continue
		}
		steps = append(steps, t.create(a, !stat)...)
		stat = true
	}
	return steps
}

// guard fails unless dir has had count children ever: it creates a sequential znode,
// whose name contains the number.
func (t *trial) guard(dir string, count int64) []step {
	name := fmt.Sprintf("%s/%s%010d", dir, guardName, count)
	return []step{
		{path: dir, request: &zk.CreateRequest{Path: dir + "/" + guardName, Acl: t.d.cfg.acl(), Flags: zk.FlagSequence}},
		{path: dir, request: &zk.SetDataRequest{Path: name, Version: -1}},
		{path: dir, request: &zk.DeleteRequest{Path: name, Version: -1}},
	}
}

func (a *act) step() step {
	s := step{act: a, path: a.path}
	switch a.op.Kind {
	case kv.KindSet:
		s.request = &zk.SetDataRequest{Path: a.path, Data: encode(a.op.Value), Version: a.token.version}
	case kv.KindDelete:
		s.request = &zk.DeleteRequest{Path: a.path, Version: a.token.version}
	default: // a check
		s.request = &zk.CheckVersionRequest{Path: a.path, Version: a.token.version}
	}
	return s
}

// create creates a key. The answer to a creation does not contain the transaction's
// number; the answer to a change does. If stat is set, the value is set after the
// creation.
func (t *trial) create(a *act, stat bool) (steps []step) {
	add := func(request any) { steps = append(steps, step{act: a, path: a.path, request: request}) }
	data := encode(a.op.Value)
	if a.over != nil && a.op.Lease == nil {
		add(&zk.SetDataRequest{Path: a.path, Data: data, Version: a.over.Version})
		return steps
	}
	if a.over != nil { // an ephemeral znode must be created as one
		add(&zk.DeleteRequest{Path: a.path, Version: a.over.Version})
	}
	request := &zk.CreateRequest{Path: a.path, Data: data, Acl: t.d.cfg.acl()}
	if a.op.Lease != nil {
		request.Flags = zk.FlagEphemeral
	}
	if stat {
		request.Data = nil
	}
	add(request)
	if stat {
		add(&zk.SetDataRequest{Path: a.path, Data: data, Version: 0})
	}
	return steps
}
