package zkkv

// batch is mirrors of a link that were told of changes at about the same time,
// such as those of one commit. Their hints are given together, when all of them
// are guarded again: who reads after the first hint finds everything at hand, and
// need not read again after the others.
type batch struct {
	closed  bool // one of them is guarded again: what comes now is of another batch
	waiting int
	changed []string // directories to give hints of
}

// join puts a mirror that was told of a change into a batch, unless it is in one
// already. It wants the link's lock held.
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

// leave takes a mirror out of its batch, and returns the directories that hints
// are to be given of: those of the whole batch if this was the last of it.
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
