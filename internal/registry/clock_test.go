package registry

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/internal/clock"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
)

// ticking opens the registry in db on a separate machine whose clock is skew ahead.
func ticking(t *testing.T, db *memkv.DB, id clock.ID, skew time.Duration, trust bool) *Registry {
	t.Helper()
	client, c := db.Client(), newClock()
	c.Add(skew)
	t.Cleanup(func() { client.Close() })
	return must(Open(t.Context(), client, Options{Clock: c.Now, ClockID: id, TrustClock: trust}))
}

// TestWrongClock: a process whose clock disagrees with that of running nodes makes no
// stamped change, and reports the difference. A process that trusts its clock does.
func TestWrongClock(t *testing.T) {
	const day = 24 * time.Hour
	db := memkv.New(memkv.Options{})
	right := ticking(t, db, "right", 0, false)
	mustPublish(t, right, "shop", "v1", "v2")
	mustActivate(t, right, "shop", "v1", "main")
	entry := must(right.RegisterNode(t.Context(), NodeInfo{Name: "n1", Beat: 300}, time.Minute))
	defer entry.Close()

	for _, tc := range []struct {
		skew time.Duration
		says string
	}{{40 * day, "39 days ahead of that of n1"}, {-40 * day, "40 days behind that of n1"}, {time.Hour, "55m0s ahead of that of n1"}} {
		wrong := ticking(t, db, "wrong", tc.skew, false)
		before := must(wrong.App(t.Context(), appName("shop")))
		_, _, err := wrong.Activate(t.Context(), appName("shop"), release("v2"), ActivateOptions{})
		wantError(t, err, ErrClock, tc.says)
		_, _, err = publish(t.Context(), wrong, build("shop", "v3", "m3", "i3"))
		wantError(t, err, ErrClock, tc.says)
		wantError(t, wrong.Retire(t.Context(), appName("shop"), release("v2"), RetireOptions{}), ErrClock, tc.says)
		if now := must(wrong.App(t.Context(), appName("shop"))); now.lastStamp() != before.lastStamp() || len(now.Releases) != len(before.Releases) {
			t.Errorf("%v: something changed: %+v", tc.skew, now)
		}
		seen := must(wrong.Time(t.Context(), false))
		if err := seen.Err(); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%v: %v", tc.skew, err)
		}
	}
	for _, good := range []*Registry{ticking(t, db, "laptop", time.Minute, false), ticking(t, db, "laptop", 40*day, true)} {
		for _, id := range []string{"v2", "v1"} {
			if _, _, err := good.Activate(t.Context(), appName("shop"), release(id), ActivateOptions{}); err != nil {
				t.Error(err)
			}
		}
	}
	app := must(right.App(t.Context(), appName("shop")))
	if ahead := app.Ahead(newClock().Now()); ahead < 39*day {
		t.Errorf("stamps in the future are not seen: %v", ahead)
	}
}

// TestOneClockOnAMachine: processes on one machine are no evidence about its clock; a
// second machine confirms it.
func TestOneClockOnAMachine(t *testing.T) {
	const day = 24 * time.Hour
	db := memkv.New(memkv.Options{})
	early := ticking(t, db, "m1", 0, false)
	mustPublish(t, early, "shop", "v1")
	first := must(early.Time(t.Context(), false))
	late := ticking(t, db, "m1", 40*day, false)
	entry := must(late.RegisterNode(t.Context(), NodeInfo{Name: "n1", Beat: 300}, time.Minute))
	defer entry.Close()
	mustActivate(t, late, "shop", "v1", "main") // records the time, and does not confirm it
	for range 2 {
		seen := must(late.Time(t.Context(), false))
		if err := seen.Err(); err != nil || seen.Reliable.After(first.Now.Add(time.Minute)) || seen.Verdict.Confirmed() {
			t.Errorf("%+v, %v; noted before: %v", seen, err, first.Now)
		}
	}
	later := ticking(t, db, "m1", 40*day+clock.Floor+time.Minute, false)
	if seen := must(later.Time(t.Context(), false)); !seen.Reliable.Equal(seen.Now) {
		t.Errorf("not confirmed by the next look: %+v", seen)
	}
	second := must(ticking(t, db, "m2", 60*day, false).RegisterNode(t.Context(), NodeInfo{Name: "n2", Beat: 300}, time.Minute))
	defer second.Close()
	entry.Close()
	if seen := must(ticking(t, db, "m1", 60*day, false).Time(t.Context(), false)); !seen.Reliable.Equal(seen.Now) || !seen.Verdict.Confirmed() {
		t.Errorf("another machine does not confirm the time: %+v", seen)
	}
}
