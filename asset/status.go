package asset

import (
	"fmt"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Status says whether a program can answer for its app, for its own /readyz. As JSON it
// is the same as for nodes of "holdfast serve".
type Status struct {
	Ready    bool   `json:"ready"`
	Reason   string `json:"reason,omitempty"`   // why it is not ready
	Revision int64  `json:"revision,omitempty"` // of its view of the cluster
	// Stale: the registry cannot be read. Served data is as of Since, and there may have
	// been changes. The program is still ready: all of them may be in that situation.
	Stale    bool      `json:"stale,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Registry string    `json:"registry,omitempty"` // why it cannot be read
	// Copies is the progress of copying, nil for a program that shares a store or is
	// alone. It does not affect readiness.
	Copies *Copies `json:"copies,omitempty"`
}

// Copies counts nodes' copies of each other's builds without a shared store, as of the
// last check: some seconds ago while the program's build is being copied, and at most
// half a minute.
type Copies struct {
	// Held is how many nodes have all of the program's own build, this one among them,
	// and Wanted how many should: before there are as many, it may be lost with this
	// program and its DataDir. Both are 0 without a build, and until it is known.
	Held   int `json:"held"`
	Wanted int `json:"wanted"`
	// Left is how much this program has yet to copy of other builds, in bytes.
	Left int64 `json:"left"`
}

// Err is nil for a program that is ready, else ErrUnavailable with the reason.
func (s Status) Err() error {
	if s.Ready {
		return nil
	}
	return fmt.Errorf("%w: not ready: %s", holdfast.ErrUnavailable, s.Reason)
}

// Status reports the program's state. One that serves its build alone is always ready.
func (a *Assets) Status() Status { return a.site.status() }

// Ready is Status.Err of the current status: it returns nil, or why the program should
// get no requests yet.
func (a *Assets) Ready() error { return a.site.status().Err() }
