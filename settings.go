package holdfast

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SourceMaps is an app's policy for source maps.
type SourceMaps string

// The policies for source maps.
const (
	SourceMapsPrivate SourceMaps = "private" // stored, never served
	SourceMapsPublic  SourceMaps = "public"  // stored and served
	SourceMapsDrop    SourceMaps = "drop"    // left out at publish
)

// Deltas is an app's policy for sending deltas (RFC 9842).
type Deltas string

// The policies for deltas.
const (
	DeltasPrivate Deltas = "private" // browsers, but not shared caches
	DeltasShared  Deltas = "shared"  // also caches that honor Vary
	DeltasOff     Deltas = "off"     // none; files are not offered as dictionaries either
)

// Documents says which form of an app's documents is served.
type Documents string

// The policies for documents.
const (
	DocumentsAuto   Documents = "auto"   // pinned where nodes bring builds, else plain
	DocumentsPinned Documents = "pinned" // the variant whose references lead to its release
	DocumentsPlain  Documents = "plain"  // as the build has them
)

// Settings are the settings of an app, kept in the registry so that every node agrees.
// The JSON form is an object of strings with the keys of SettingKeys that differ from the
// app's defaults.
type Settings struct {
	Mount      Mount
	SPA        bool          // SPA fallback: unknown routes get index.html
	Preview    bool          // documents of never-live releases are served
	SourceMaps SourceMaps    //
	Immutable  []string      // globs of paths to treat as fingerprinted
	Formerly   []string      // globs that Immutable once had; browsers may have cached their matches
	Mutable    []string      // globs of paths that are never treated as fingerprinted
	Unpinned   []string      // globs of paths that resolve to the live release under every URL form
	Pinned     string        // template of an existing pinned URL shape, or ""
	Keep       int           // how many of the most recently live releases to keep
	Grace      time.Duration // a release drains at least this long
	Idle       time.Duration // and at least this long after the last request
	CORS       string        // Access-Control-Allow-Origin of assets, or "off"
	CORP       string        // Cross-Origin-Resource-Policy of assets, or "off"
	Timing     string        // Timing-Allow-Origin of assets, or "off"
	Deltas     Deltas        //
	Documents  Documents     //
	Hooks      []HookName    // hooks to run when a release becomes live, retired or gone
	extra      map[string]string
}

// DefaultSettings returns the initial settings of an app: the default app is mounted at
// "/", any other at "/<app>".
func DefaultSettings(app AppName) Settings {
	s := Settings{
		Preview: true, SourceMaps: SourceMapsPrivate,
		Keep: 10, Grace: 7 * 24 * time.Hour, Idle: 24 * time.Hour,
		Unpinned: []string{"**/_app/version.json", "**/_nuxt/builds/latest.json"},
		CORS:     "*", CORP: "cross-origin", Timing: "*", Deltas: DeltasPrivate, Documents: DocumentsAuto,
	}
	if app != DefaultApp() {
		s.Mount.path = "/" + app.name
	}
	return s
}

// A setting binds a key to its field.
type setting struct {
	key, help string
	get       func(*Settings) string
	set       func(*Settings, string) error
}

func settingTable() []setting {
	return []setting{
		{"mount", "where the app lies: /path or host/path", func(s *Settings) string { return s.Mount.String() }, func(s *Settings, v string) error { return s.Mount.UnmarshalText([]byte(v)) }},
		{"spa", "on: a navigation without a file gets index.html", func(s *Settings) string { return onOff(s.SPA) }, func(s *Settings, v string) error { return setOnOff(&s.SPA, v) }},
		{"preview", "off: documents of never-live releases answer 404", func(s *Settings) string { return onOff(s.Preview) }, func(s *Settings, v string) error { return setOnOff(&s.Preview, v) }},
		{"sourcemaps", "private (stored, never served), public or drop", func(s *Settings) string { return string(s.SourceMaps) }, setSourceMaps},
		{"immutable", "globs, separated by commas, of paths as good as fingerprinted", func(s *Settings) string { return strings.Join(s.Immutable, ",") }, setImmutable},
		{"mutable", "globs of names that look hashed and prove nothing", func(s *Settings) string { return strings.Join(s.Mutable, ",") }, setMutable},
		{"unpinned", "globs of files that pinned URLs answer with the live release's bytes", func(s *Settings) string { return strings.Join(s.Unpinned, ",") }, setUnpinned},
		{"pinned", "an existing URL shape, such as /static/{release}/{path}", func(s *Settings) string { return s.Pinned }, setPinned},
		{"keep", "releases kept by how recently they were live", func(s *Settings) string { return strconv.Itoa(s.Keep) }, setKeep},
		{"grace", "how long a release drains at least", func(s *Settings) string { return durationText(s.Grace) }, func(s *Settings, v string) error { return setDuration(&s.Grace, v) }},
		{"idle", "how long nobody must have asked for it", func(s *Settings) string { return durationText(s.Idle) }, func(s *Settings, v string) error { return setDuration(&s.Idle, v) }},
		{"cors", "Access-Control-Allow-Origin of assets, or off", func(s *Settings) string { return s.CORS }, func(s *Settings, v string) error { return setOrigin(&s.CORS, v) }},
		{"corp", "Cross-Origin-Resource-Policy of assets, or off", func(s *Settings) string { return s.CORP }, setCORP},
		{"timing", "Timing-Allow-Origin of assets, or off", func(s *Settings) string { return s.Timing }, func(s *Settings, v string) error { return setOrigin(&s.Timing, v) }},
		{"deltas", "private (for browsers alone), shared (caches may keep them) or off", func(s *Settings) string { return string(s.Deltas) }, setDeltas},
		{"documents", "pinned (pages load their own release's files), plain or auto", func(s *Settings) string { return string(s.Documents) }, setDocuments},
		{"hooks", "names, separated by commas, of hooks that nodes run", func(s *Settings) string { return hookList(s.Hooks) }, setHooks},
	}
}

// Setting is one setting as shown to a user.
type Setting struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Help  string `json:"help"`
}

// List returns all settings in their documented order.
func (s *Settings) List() []Setting {
	var list []Setting
	for _, t := range settingTable() {
		list = append(list, Setting{t.key, t.get(s), t.help})
	}
	return list
}

// Set changes one setting from its text form.
func (s *Settings) Set(key, value string) error {
	var keys []string
	for _, t := range settingTable() {
		if t.key == key {
			if err := t.set(s, value); err != nil {
				return fmt.Errorf("setting %s=%s: %w", key, clip(value), err)
			}
			return nil
		}
		keys = append(keys, t.key)
	}
	return fmt.Errorf("%w: no setting %q; there are %s", ErrInvalid, clip(key), strings.Join(keys, ", "))
}

// Encode returns the JSON form, relative to the defaults of app. It keeps unknown keys
// that a newer version wrote.
func (s *Settings) Encode(app AppName) (json.RawMessage, error) {
	defaults := DefaultSettings(app)
	texts := maps.Clone(s.extra)
	if texts == nil {
		texts = map[string]string{}
	}
	for _, t := range settingTable() {
		if v := t.get(s); v != t.get(&defaults) {
			texts[t.key] = v
		}
	}
	if len(s.Formerly) > 0 {
		texts[formerlyKey] = strings.Join(s.Formerly, ",")
	}
	return json.Marshal(texts)
}

// DecodeSettings is the inverse of Encode. Empty text means the defaults.
func DecodeSettings(app AppName, text json.RawMessage) (Settings, error) {
	s := DefaultSettings(app)
	if len(text) == 0 {
		return s, nil
	}
	var texts map[string]string
	if err := json.Unmarshal(text, &texts); err != nil {
		return s, fmt.Errorf("settings of app %s: %w: %w", app, ErrInvalid, err)
	}
	for _, t := range settingTable() {
		if v, ok := texts[t.key]; ok {
			if err := t.set(&s, v); err != nil {
				return s, fmt.Errorf("settings of app %s: %s=%s: %w", app, t.key, clip(v), err)
			}
			delete(texts, t.key)
		}
	}
	if v, ok := texts[formerlyKey]; ok {
		s.Formerly = globs(v)
		delete(texts, formerlyKey)
	}
	if len(texts) > 0 {
		s.extra = texts
	}
	return s, nil
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func setOnOff(b *bool, v string) error {
	if v != "on" && v != "off" {
		return fmt.Errorf("%w: want on or off", ErrInvalid)
	}
	*b = v == "on"
	return nil
}

func setSourceMaps(s *Settings, v string) error {
	if !slices.Contains([]SourceMaps{SourceMapsPrivate, SourceMapsPublic, SourceMapsDrop}, SourceMaps(v)) {
		return fmt.Errorf("%w: want private, public or drop", ErrInvalid)
	}
	s.SourceMaps = SourceMaps(v)
	return nil
}

func setDeltas(s *Settings, v string) error {
	if !slices.Contains([]Deltas{DeltasPrivate, DeltasShared, DeltasOff}, Deltas(v)) {
		return fmt.Errorf("%w: want private, shared or off", ErrInvalid)
	}
	s.Deltas = Deltas(v)
	return nil
}

func setDocuments(s *Settings, v string) error {
	if !slices.Contains([]Documents{DocumentsAuto, DocumentsPinned, DocumentsPlain}, Documents(v)) {
		return fmt.Errorf("%w: want pinned, plain or auto (pinned where nodes bring builds)", ErrInvalid)
	}
	s.Documents = Documents(v)
	return nil
}

// PinsPages reports whether the pinned variants of documents are made and served; local:
// nodes bring builds of the app.
func (s *Settings) PinsPages(local bool) bool {
	return s.Documents == DocumentsPinned || local && s.Documents == DocumentsAuto
}

// PagesBase returns the URL path, encoded, that the references of a release's pinned
// variants begin with. It is of the form that every app has, whatever its own shape of
// pinned URLs may become.
func (s *Settings) PagesBase(release ReleaseID) string {
	u := url.URL{Path: s.Mount.Path() + "/@" + release.name + "/"}
	return u.EscapedPath()
}

// formerlyKey is the key of Settings.Formerly, which users do not set.
const formerlyKey = "immutable-formerly"

func setImmutable(s *Settings, v string) error {
	before := s.Immutable
	s.Immutable = globs(v)
	for _, glob := range before {
		if !slices.Contains(s.Immutable, glob) && !slices.Contains(s.Formerly, glob) {
			s.Formerly = append(s.Formerly, glob)
		}
	}
	return nil
}

func setMutable(s *Settings, v string) error {
	s.Mutable = globs(v)
	return nil
}

func setUnpinned(s *Settings, v string) error {
	s.Unpinned = globs(v)
	return nil
}

func globs(v string) (list []string) {
	for glob := range strings.SplitSeq(v, ",") {
		if glob = strings.TrimSpace(glob); glob != "" {
			list = append(list, strings.TrimPrefix(glob, "/"))
		}
	}
	return list
}

func setKeep(s *Settings, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > 10_000 {
		return fmt.Errorf("%w: want a number from 0 to 10000", ErrInvalid)
	}
	s.Keep = n
	return nil
}

func setDuration(d *time.Duration, v string) error {
	parsed, err := ParseDuration(v)
	if err == nil {
		*d = parsed
	}
	return err
}

// ParseDuration is time.ParseDuration with whole days and without negative values.
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n <= 36500 {
			text = strconv.Itoa(n*24) + "h"
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%w: want a duration such as 7d, 36h or 90m", ErrInvalid)
	}
	return d, nil
}

// durationText formats a duration as people type it: 7d, 36h, 90m.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day && d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + "h"
	case d >= time.Minute && d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + "m"
	}
	return d.String()
}

// GraceText returns Grace as people type it.
func (s *Settings) GraceText() string { return durationText(s.Grace) }

// IdleText returns Idle as people type it.
func (s *Settings) IdleText() string { return durationText(s.Idle) }

func setOrigin(s *string, v string) error {
	scheme, host, ok := strings.Cut(v, "://")
	origin := ok && (scheme == "https" || scheme == "http") && host != "" && isPlain(v) && !strings.ContainsAny(host, "/ ,")
	if v != "*" && v != "off" && !origin {
		return fmt.Errorf("%w: want *, off or one origin such as https://www.example.com", ErrInvalid)
	}
	*s = v
	return nil
}

func setCORP(s *Settings, v string) error {
	if !slices.Contains([]string{"cross-origin", "same-site", "same-origin", "off"}, v) {
		return fmt.Errorf("%w: want cross-origin, same-site, same-origin or off", ErrInvalid)
	}
	s.CORP = v
	return nil
}

// MaxHooks limits the hooks of an app.
const MaxHooks = 8

func hookList(hooks []HookName) string {
	texts := make([]string, len(hooks))
	for i, h := range hooks {
		texts[i] = h.String()
	}
	return strings.Join(texts, ",")
}

func setHooks(s *Settings, v string) error {
	var hooks []HookName
	for text := range strings.SplitSeq(v, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		h, err := ParseHookName(text)
		if err != nil {
			return err
		}
		if !slices.Contains(hooks, h) {
			hooks = append(hooks, h)
		}
	}
	if len(hooks) > MaxHooks {
		return fmt.Errorf("%w: want %d hooks at the most", ErrInvalid, MaxHooks)
	}
	s.Hooks = hooks
	return nil
}
