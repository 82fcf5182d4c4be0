package zkkv

// BeforeMulti calls f between the comparison of tokens and the multi, until undo is
// called.
func BeforeMulti(d *Driver, f func()) (undo func()) {
	d.beforeMulti.Store(&f)
	return func() { d.beforeMulti.Store(nil) }
}
