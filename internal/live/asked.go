package live

import "sync/atomic"

// Asked counts the requests for a release. It outlives tables, and adding to it takes no
// lock.
type Asked struct{ requests atomic.Int64 }

// Add counts a request.
func (a *Asked) Add() { a.requests.Add(1) }

// Requests returns how many were counted since the node started.
func (a *Asked) Requests() int64 { return a.requests.Load() }
