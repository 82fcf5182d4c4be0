package prune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/holdtest"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/kv/memkv"
	"github.com/holdfast-web/holdfast/internal/publish"
	"github.com/holdfast-web/holdfast/internal/registry"
	"github.com/holdfast-web/holdfast/internal/store/memstore"
)

// TestSchedules explores interleavings of publishes, prunes and activations. Every call
// of the registry and of the store is a step. At each one the schedule decides which
// actor continues, which is killed (with a delete that still arrives later), which
// process is stopped, and how time passes. After each change everything that a release
// needs must exist, and in the end nothing else.
func TestSchedules(t *testing.T) {
	t.Parallel()
	builds := scanBuilds(t)
	// rapid draws 100 programs.
	schedules := 100
	if os.Getenv("HOLDFAST_SOAK") != "" {
		schedules = 2000
	}
	steps, run, successes := 0, 0, make(map[string]int)
	rapid.Check(t, func(rt *rapid.T) {
		programs := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(drawOperation), 1, 4), 2, 5).Draw(rt, "programs")
		seed := rapid.Uint64().Draw(rt, "seed")
		for i := range schedules {
			var err error
			var trace []string
			synctest.Test(t, func(t *testing.T) {
				s := newSchedule(t, builds, rand.New(rand.NewPCG(seed, uint64(i))))
				err = s.run(programs)
				trace, steps, run = s.trace, steps+len(s.trace), run+1
				for verb, n := range s.successes {
					successes[verb] += n
				}
			})
			if err != nil {
				rt.Fatalf("schedule %d: %v\n%s", i, err, strings.Join(trace, "\n"))
			}
		}
	})
	t.Logf("%d schedules, %d steps, %v", run, steps, successes)
}

// operation is one task of an actor.
type operation struct {
	Verb   string
	Target int // a build and its release
}

func drawOperation(rt *rapid.T) operation {
	return operation{
		rapid.SampledFrom([]string{"publish", "publish", "prune", "prune", "prune", "activate", "bury", "bury", "undelete", "repair", "takedown", "allow"}).Draw(rt, "verb"),
		rapid.IntRange(0, 3).Draw(rt, "target"),
	}
}

// scanBuilds makes four builds that share files: the last has the files of the first.
func scanBuilds(t *testing.T) []*publish.Build {
	t.Helper()
	var builds []*publish.Build
	for _, files := range [][]string{{"all", "pair", "own0"}, {"all", "pair", "own1"}, {"all", "own2"}, {"all", "pair", "own0", "more"}} {
		dir := t.TempDir()
		for _, name := range append(files, "index") {
			if err := os.WriteFile(filepath.Join(dir, name+".png"), []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b, err := publish.Scan(t.Context(), dir, publish.ScanOptions{})
		if err != nil {
			t.Fatal(err)
		}
		builds = append(builds, b)
	}
	return builds
}

func releaseOf(target int) holdfast.ReleaseID {
	return holdtest.ID(fmt.Sprintf("r%d", target))
}

// step is a call that waits until the schedule lets it happen.
type step struct {
	actor    *actor
	what     string
	isDelete bool
	changes  bool
	goOn     chan error
}

// actor is a process.
type actor struct {
	name   string
	client *memkv.Client
	killed bool
	frozen bool
	ended  bool
	rank   int // preferred for a while
}

type actorKey struct{}

// schedule is one world and the order of its steps.
type schedule struct {
	*holdtest.World // its registry calls are not steps
	random          *rand.Rand
	builds          []*publish.Build
	trace           []string

	mu      sync.Mutex
	waiting []*step
	actors  []*actor
	snap    *registry.Snapshot
	before  func(memkv.Call)
	lose    func(memkv.Call) bool // whether the answer to a commit is lost

	successes map[string]int // of undeletes and repairs
}

var errKilled = errors.New("killed")

func newSchedule(t *testing.T, builds []*publish.Build, random *rand.Rand) *schedule {
	s := &schedule{random: random, builds: builds, successes: make(map[string]int)}
	s.World = holdtest.New(t, memkv.Options{Before: func(ctx context.Context, c memkv.Call) error {
		if s.before != nil {
			s.before(c)
		}
		what := c.Method + " " + c.Dir + strings.Join(c.Keys, " ")
		for _, op := range c.Ops {
			what += fmt.Sprintf(" %d:%s", op.Kind, op.Key)
		}
		return s.wait(ctx, what, false, c.Method == "commit")
	}, After: func(_ context.Context, c memkv.Call) error {
		if s.lose != nil && s.lose(c) {
			return kv.ErrUnknown
		}
		return nil
	}}, patient())
	s.Driver.SetHook(func(ctx context.Context, op memstore.Op, key string) error {
		return s.wait(ctx, fmt.Sprintf("%s %s", op, key), op == memstore.Delete, op == memstore.Delete)
	})
	_, err := s.Registry.SetApp(t.Context(), holdfast.DefaultApp(), true, func(set *holdfast.Settings) error {
		return errors.Join(set.Set("keep", "0"), set.Set("grace", "0s"), set.Set("idle", "0s"))
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// patient options have no deadline: a call may take as long as the schedule decides. Time
// jumps here.
func patient() registry.Options {
	return registry.Options{Timeout: 1e6 * time.Hour, TrustClock: true}
}

// wait is where an actor's calls stop until the schedule releases them.
func (s *schedule) wait(ctx context.Context, what string, isDelete, changes bool) error {
	a, ok := ctx.Value(actorKey{}).(*actor)
	if !ok {
		return nil
	}
	st := &step{actor: a, what: what, isDelete: isDelete, changes: changes, goOn: make(chan error)}
	s.mu.Lock()
	if a.killed {
		s.mu.Unlock()
		return errKilled
	}
	s.waiting = append(s.waiting, st)
	s.mu.Unlock()
	return <-st.goOn
}

// run starts the actors and decides what happens until all have ended.
func (s *schedule) run(programs [][]operation) error {
	var running sync.WaitGroup
	for i, program := range programs {
		a := &actor{name: fmt.Sprint("actor ", i)}
		var r *registry.Registry
		a.client, r = s.Open(patient())
		ctx := context.WithValue(s.T.Context(), actorKey{}, a)
		s.actors = append(s.actors, a)
		running.Go(func() {
			for _, op := range program {
				s.do(ctx, r, op)
			}
			s.mu.Lock()
			a.ended = true
			s.mu.Unlock()
		})
	}
	err := s.decide()
	s.finish()
	running.Wait()
	if err == nil {
		err = s.cleanEnd()
	}
	for _, a := range s.actors {
		_ = a.client.Close() // in memory
	}
	return err
}

func (s *schedule) do(ctx context.Context, r *registry.Registry, op operation) {
	app, id := holdfast.DefaultApp(), releaseOf(op.Target)
	switch op.Verb {
	case "publish":
		s.publish(ctx, r, op.Target)
	case "prune":
		_, _ = Run(ctx, Config{Registry: r, Store: s.Store}, Options{})
	case "activate":
		_, _, _ = r.Activate(ctx, app, id, registry.ActivateOptions{})
	case "bury":
		_ = r.Retire(ctx, app, id, registry.RetireOptions{Now: true})
		_ = holdtest.MarkGone(ctx, r, app, id)
	case "undelete": // just condemned, unless others are faster
		s.publish(ctx, r, op.Target)
		_ = r.Retire(ctx, app, id, registry.RetireOptions{Now: true})
		_ = holdtest.MarkGone(ctx, r, app, id)
		_, _ = Run(ctx, Config{Registry: r, Store: s.Store}, Options{})
		_, err := publish.Undelete(ctx, publish.Deps{Registry: r}, s.Store, publish.Options{App: app, ID: id, Settings: holdfast.DefaultSettings(app)})
		s.succeeded(op.Verb, err)
	case "repair":
		s.publish(ctx, r, op.Target)
		s.repair(ctx, r, id)
	case "takedown":
		_, err := r.TakeDown(ctx, []registry.TakedownInfo{{Digest: secret(op.Target)}}, nil)
		if err == nil {
			err = RemoveTakenDown(ctx, Config{Registry: r, Store: s.Store})
		}
		s.succeeded(op.Verb, err)
	case "allow":
		_, err := r.AllowTakedown(ctx, secret(op.Target), "")
		s.publish(ctx, r, op.Target)
		s.succeeded(op.Verb, err)
	}
}

// secret is a file of a build.
func secret(target int) holdfast.Digest {
	return holdfast.DigestOf([]byte([]string{"own0", "own1", "own2", "pair"}[target]))
}

func (s *schedule) publish(ctx context.Context, r *registry.Registry, target int) {
	app := holdfast.DefaultApp()
	_, _ = publish.Publish(ctx, publish.Deps{Store: s.Store, Registry: r}, s.builds[target],
		publish.Options{App: app, ID: releaseOf(target), Settings: holdfast.DefaultSettings(app)})
}

// succeeded counts operations that succeeded despite interference.
func (s *schedule) succeeded(verb string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.successes[verb]++
	}
}

// repair acts like a scrub that found wrong bytes under an object's name: as long as
// others use that name, nothing may replace it.
func (s *schedule) repair(ctx context.Context, r *registry.Registry, id holdfast.ReleaseID) {
	releases, err := r.Releases(ctx, holdfast.DefaultApp())
	if err != nil {
		return
	}
	for i := range releases {
		if releases[i].ID != id {
			continue
		}
		inv, err := s.Store.Inventory(ctx, releases[i].Inventory)
		if err != nil {
			return
		}
		// The bytes are good, so reading them stands in for reading another form.
		damaged := map[holdfast.ObjectName]bool{inv.Objects()[0].Name: true}
		result, err := publish.NewRepairer(publish.Deps{Registry: r}, s.Store, damaged).Repair(ctx, &releases[i], nil, publish.Options{})
		if err == nil && result.Mended {
			s.succeeded("repair", nil)
		}
	}
}

// decide lets one step happen after the other. One actor continues until another is
// preferred, so that whole runs fit between two steps of another.
func (s *schedule) decide() error {
	for {
		synctest.Wait()
		if s.random.IntN(12) == 0 {
			for i, rank := range s.random.Perm(len(s.actors)) {
				s.actors[i].rank = rank
			}
		}
		ready, ended := s.ready()
		if ended {
			return nil
		}
		switch n := s.random.IntN(100); {
		case n < 5:
			d := time.Duration(1+s.random.IntN(40)) * time.Minute
			s.note("time passes: %v", d)
			time.Sleep(d)
		case n < 7:
			s.kill(s.actors[s.random.IntN(len(s.actors))])
		case n < 8:
			s.freeze(s.actors[s.random.IntN(len(s.actors))])
		case len(ready) == 0:
			time.Sleep(time.Second) // an actor waits for a timer, or is stopped
		default:
			st := ready[0]
			s.let(st, nil)
			if st.changes {
				synctest.Wait()
				if err := s.check(); err != nil {
					return err
				}
			}
		}
	}
}

// ready returns the possible steps, in a deterministic order.
func (s *schedule) ready() (ready []*step, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.waiting {
		if !st.actor.frozen {
			ready = append(ready, st)
		}
	}
	slices.SortFunc(ready, func(a, b *step) int {
		return cmp.Or(cmp.Compare(a.actor.rank, b.actor.rank), cmp.Compare(a.what, b.what))
	})
	for _, a := range s.actors {
		if !a.ended {
			return ready, false
		}
	}
	return ready, len(s.waiting) == 0
}

func (s *schedule) let(st *step, err error) {
	s.note("%s: %s %v", st.actor.name, st.what, err)
	s.mu.Lock()
	s.waiting = slices.DeleteFunc(s.waiting, func(other *step) bool { return other == st })
	s.mu.Unlock()
	st.goOn <- err
}

// kill ends a process. Its pending deletes may still be executed.
func (s *schedule) kill(a *actor) {
	s.note("%s is killed", a.name)
	s.mu.Lock()
	a.killed, a.frozen = true, false
	var dead []*step
	for _, st := range s.waiting {
		if st.actor == a && !st.isDelete {
			dead = append(dead, st)
		}
	}
	s.mu.Unlock()
	a.client.Suspend()
	for _, st := range dead {
		s.let(st, errKilled)
	}
}

// freeze stops a process, or resumes it.
func (s *schedule) freeze(a *actor) {
	if a.killed {
		return
	}
	s.mu.Lock()
	a.frozen = !a.frozen
	s.mu.Unlock()
	s.note("%s is stopped: %v", a.name, a.frozen)
	if a.frozen {
		a.client.Suspend()
	} else {
		a.client.Resume()
	}
}

// finish ends the rest after a failure.
func (s *schedule) finish() {
	for {
		synctest.Wait()
		s.mu.Lock()
		for _, a := range s.actors {
			a.killed = true
		}
		left := slices.Clone(s.waiting)
		s.mu.Unlock()
		if len(left) == 0 {
			return
		}
		for _, st := range left {
			s.let(st, errKilled)
		}
	}
}

func (s *schedule) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

// check makes sure that everything releases need exists, except taken-down bytes.
func (s *schedule) check() error {
	snap, err := s.Registry.Refresh(s.T.Context(), s.snap)
	if err != nil {
		return err
	}
	s.snap = snap
	for _, app := range snap.Apps {
		for _, r := range app.Releases {
			if r.State == holdfast.Gone {
				continue
			}
			if err := s.complete(r.Release); err != nil {
				return fmt.Errorf("release %s, which is %s, is not complete: %w", r.ID, r.State, err)
			}
		}
	}
	return nil
}

func (s *schedule) complete(r holdfast.Release) error {
	m, err := s.Store.Manifest(s.T.Context(), r.Manifest)
	if err != nil {
		return err
	}
	inv, err := s.Store.Inventory(s.T.Context(), r.Inventory)
	if err != nil {
		return err
	}
	for _, o := range inv.Objects() {
		if s.snap.Takedowns.Kills(o.Name) {
			continue
		}
		there, err := s.Store.HasObject(s.T.Context(), o.Name, o.Size)
		if err != nil || !there {
			return fmt.Errorf("object %s is missing: %w", o.Name, err)
		}
	}
	return inv.Covers(m)
}

// cleanEnd prunes until that has no more effect: then the store contains exactly what
// releases need.
func (s *schedule) cleanEnd() error {
	ctx := s.T.Context()
	for range 5 {
		time.Sleep(time.Hour)
		if _, err := Run(ctx, Config{Registry: s.Registry, Store: s.Store}, Options{}); err != nil {
			return fmt.Errorf("in the end: %w", err)
		}
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	needed := make(map[holdfast.ObjectName]bool)
	inventories := make(map[holdfast.Digest]bool)
	for _, app := range s.snap.Apps {
		for _, r := range app.Releases {
			if r.State != holdfast.Gone {
				inventories[r.Inventory] = true
				inv, err := s.Store.Inventory(ctx, r.Inventory)
				if err != nil {
					return err
				}
				for _, o := range inv.Objects() {
					needed[o.Name] = !s.snap.Takedowns.Kills(o.Name)
				}
			}
		}
	}
	for o, err := range s.Store.Objects(ctx) {
		if err != nil || !needed[o.Name] {
			return fmt.Errorf("in the end: object %s is left, which no release needs: %w", o.Name, err)
		}
	}
	for inv, err := range s.Store.Inventories(ctx) {
		if err != nil || !inventories[inv.Digest] {
			return fmt.Errorf("in the end: inventory %s is left, which no release has: %w", inv.Digest.Short(), err)
		}
	}
	// Killed publishes are remembered for long, and then at most one for each build that
	// left its manifest in the store.
	time.Sleep(memory)
	if _, err := Run(ctx, Config{Registry: s.Registry, Store: s.Store}, Options{}); err != nil {
		return fmt.Errorf("in the end: %w", err)
	}
	uploads, err := s.Registry.Uploads(ctx)
	if err != nil || len(uploads) > len(s.builds) {
		return fmt.Errorf("in the end: %d publishes are remembered: %w", len(uploads), err)
	}
	return nil
}
