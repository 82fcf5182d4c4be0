package zkkv

// batch groups mirrors of a link that were told of changes at about the same time, such
// as those of one commit. Their hints are sent together, when all of them are guarded
// again, so a caller that reads after the first hint finds everything current, and need
// not read again after the others.
type batch struct {
	closed  bool // one of them is guarded again: later changes belong to another batch
	waiting int
	changed []string // directories to give hints of
}

// join adds a mirror that was told of a change to a batch, unless it is already in one.
// The link's lock must be held.
func (l *link) join(m *mirror) {
	if m.batch != nil {
		return
	}
	if l.batch == nil || l.batch.closed {
		l.batch = &batch{}
	}
	m.batch = l.batch
	m.batch.waiting++
}

// leave removes a mirror from its batch, and returns the directories to hint: those of
// the whole batch if this was its last mirror.
func (l *link) leave(m *mirror, changed bool) (hints []string) {
	l.state.Lock()
	defer l.state.Unlock()
	b := m.batch
	if b == nil {
		b = &batch{waiting: 1}
	}
	m.batch = nil
	b.closed = true
	b.waiting--
	if changed {
		b.changed = append(b.changed, m.dir)
	}
	if b.waiting > 0 {
		return nil
	}
	return b.changed
}
