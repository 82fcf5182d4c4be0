package registry

import (
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
)

// UnknownError: there is no app of a name, or no side, though there are others: the
// name may be a typo. It is holdfast.ErrNotFound. What was asked for makes the app or
// the side only when told to.
type UnknownError struct {
	App   holdfast.AppName
	Side  holdfast.Side // zero: it is the app that does not exist
	Known []string      // the names that exist, sorted
}

func (e *UnknownError) Error() string {
	if e.Side.IsZero() {
		return fmt.Sprintf("app %s does not exist: there are %s", e.App, some(e.Known))
	}
	return fmt.Sprintf("app %s has no side %s: it has %s", e.App, e.Side, some(e.Known))
}

// Is reports whether target is holdfast.ErrNotFound.
func (e *UnknownError) Is(target error) bool { return target == holdfast.ErrNotFound }

// making says what a change may do about an app that does not exist.
type making uint8

const (
	mustExist making = iota
	makeFirst        // make it if there is no other
	makeAny
	orRemoved // a removed app will do, and stays removed
)

// may is what a caller's wish to create comes to: the first app needs none.
func may(create bool) making {
	if create {
		return makeAny
	}
	return makeFirst
}

// allow returns an error unless the change may make the app of e, which does not exist.
// That it is to be made it notes in e.
func (m making) allow(e *edit) error {
	e.made, e.dirty = true, true
	switch {
	case m == makeAny:
		return nil
	case m == mustExist && e.old != nil:
		return e.old.Removed.error(e.app)
	}
	mounts, err := e.mounts()
	if err != nil || len(mounts) == 0 {
		return err
	}
	return &UnknownError{App: e.app, Known: appNames(mounts)}
}

// CheckApp returns an UnknownError if there are apps and name is none of them.
func CheckApp(apps []*AppState, name holdfast.AppName) error {
	unknown := &UnknownError{App: name}
	for _, a := range apps {
		if a.Name == name {
			return nil
		}
		unknown.Known = append(unknown.Known, a.Name.String())
	}
	if len(unknown.Known) == 0 {
		return nil
	}
	return unknown
}

// CheckSide returns an UnknownError if the app has sides and side is none of them.
func (a *AppState) CheckSide(side holdfast.Side) error { return checkSide(a.Name, side, a.Sides) }

func checkSide(app holdfast.AppName, side holdfast.Side, sides []SideInfo) error {
	unknown := &UnknownError{App: app, Side: side}
	for _, s := range sides {
		if s.Side == side {
			return nil
		}
		unknown.Known = append(unknown.Known, s.Side.String())
	}
	if len(unknown.Known) == 0 {
		return nil
	}
	return unknown
}

// mayUse is CheckSide for the app that e changes.
func (e *edit) mayUse(side holdfast.Side) error {
	var sides []SideInfo
	for _, s := range e.sides() {
		sides = append(sides, s.SideInfo)
	}
	return checkSide(e.app, side, sides)
}
