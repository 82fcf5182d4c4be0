package visit

import (
	"strings"
	"testing"
)

func read(t *testing.T, name string) *Version {
	t.Helper()
	v, err := ReadVersion(name, "../../webapp/version-"+name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReadVersion(t *testing.T) {
	one, two := read(t, "1"), read(t, "2")
	if got := strings.Join(one.Pages, " "); got != "/about /berths / /orders" {
		t.Errorf("version 1 has the pages %s", got)
	}
	if got := strings.Join(two.Pages, " "); got != "/about /berths / /orders /storms" {
		t.Errorf("version 2 has the pages %s", got)
	}
	if got := strings.Join(common([]*Version{two, one}), " "); got != "/about /berths / /orders" {
		t.Errorf("both have the pages %s", got)
	}
	if _, err := ReadVersion("3", t.TempDir()); err == nil || !strings.Contains(err.Error(), "has no pages") {
		t.Errorf("a directory without pages: %v", err)
	}
}

// An answer is right if it is the file that the version has under that path.
func TestJudge(t *testing.T) {
	one, two := read(t, "1"), read(t, "2")
	const icon, harbour = "http://127.0.0.1:1/@r1/icon.svg", "http://127.0.0.1:1/@r1/img/harbour.svg"
	content := func(v string) []byte {
		return []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path d="M1 1h6v6H1z" fill="#2a6"/></svg>` + v)
	}
	for want, got := range map[string]string{
		"":                               one.judge(icon, "image/svg+xml", content("\n")),
		"has other bytes than":           one.judge(icon, "image/svg+xml", content("")),
		"has the media type text":        one.judge(icon, "text/html", content("\n")),
		"is no file of version 1":        one.judge("http://127.0.0.1:1/@r1/icons.svg", "image/svg+xml", content("\n")),
		"has other bytes than version 2": two.judge(harbour, "image/svg+xml", nil),
	} {
		if got != want && (want == "" || !strings.HasPrefix(got, want)) {
			t.Errorf("judged %q, want %q", got, want)
		}
	}
}

func TestGood(t *testing.T) {
	good := Counts{Pages: 2, Complete: 2, Parts: 1, Shown: 1, Requests: 9}
	if !good.Good() {
		t.Errorf("%+v is not good", good)
	}
	for _, bad := range []Counts{{}, {Complete: -1}, {Shown: -1}, {NoAnswer: 1}, {Statuses: 1}, {Wrong: 1}} {
		sum := bad
		if bad != (Counts{}) {
			sum.add(good)
		}
		if sum.Good() {
			t.Errorf("%+v is good", sum)
		}
	}
}

// What the script says in the wrong order stops the visits.
func TestProtocol(t *testing.T) {
	for input, want := range map[string]string{
		"end 1": "end 1 without a begin",
		"":      "the input ended without done",
	} {
		lines := make(chan string, 1)
		if input != "" {
			lines <- input
		}
		close(lines)
		tour := Tour{Versions: []*Version{{Name: "1", Pages: []string{"/"}}}, Out: &strings.Builder{}}
		if err := tour.Run(t.Context(), t.Context(), lines); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %q", input, err, want)
		}
	}
}
