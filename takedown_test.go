package holdfast

import (
	"errors"
	"testing"
)

func TestTakedowns(t *testing.T) {
	digest := func(s string) Digest { return DigestOf([]byte(s)) }
	leak, br, old, fine := digest("leak"), digest("br of leak"), digest("old"), digest("fine")
	down, err := NewTakedowns(3, []Takedown{
		{Digest: leak, Forms: []Digest{br}, Generation: 4},
		{Digest: old, Generation: 2, Allowed: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name            ObjectName
		refused, killed bool
	}{
		{ObjectName{Digest: leak}, true, true},
		{ObjectName{Digest: leak, Incarnation: 9}, true, true}, // a later copy
		{ObjectName{Digest: br, Incarnation: 1}, true, true},
		{ObjectName{Digest: old, Incarnation: 2}, false, true}, // allowed again, but this object stays dead
		{ObjectName{Digest: old, Incarnation: 3}, false, false},
		{ObjectName{Digest: fine}, false, false},
	} {
		if got := down.Refuses(test.name.Digest); got != test.refused {
			t.Errorf("Refuses(%s) = %v", test.name, got)
		}
		if got := down.Kills(test.name); got != test.killed {
			t.Errorf("Kills(%s) = %v", test.name, got)
		}
		if dead := test.killed && test.name.Incarnation <= 4; down.Dead(test.name) != dead {
			t.Errorf("Dead(%s) = %v", test.name, !dead)
		}
	}
	var none *Takedowns
	if none.Refuses(leak) || none.Kills(ObjectName{Digest: leak}) || none.Seq() != 0 || len(none.All()) != 0 {
		t.Error("no takedowns at all refuse something")
	}
	if _, err := NewTakedowns(1, []Takedown{{Digest: leak}, {Digest: leak}}); !errors.Is(err, ErrInvalid) {
		t.Errorf("one digest twice: %v", err)
	}
	many := make([]Takedown, MaxTakedowns+1)
	for i := range many {
		many[i].Digest = digest(string(rune('a' + i)))
	}
	if _, err := NewTakedowns(1, many); !errors.Is(err, ErrInvalid) {
		t.Errorf("too many: %v", err)
	}
}
