package registry

import (
	"fmt"

	holdfast "github.com/holdfast-web/holdfast"
)

// UnknownError: there is no app or side of that name, though there are others, so the
// name may be a typo. It is holdfast.ErrNotFound. The app or side is created only on
// request.
type UnknownError struct {
	App   holdfast.AppName
	Side  holdfast.Side // zero: the app does not exist
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

// making says how a change handles an app that does not exist.
type making uint8

const (
	mustExist making = iota
	makeFirst        // create it if there is no other
	makeAny
	orRemoved // a removed app is accepted, and stays removed
)

// may converts a caller's create flag: the first app needs none.
func may(create bool) making {
	if create {
		return makeAny
	}
	return makeFirst
}

// allow returns an error unless the change may create the app of e, which does not exist.
// It records in e that the app is to be created.
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
