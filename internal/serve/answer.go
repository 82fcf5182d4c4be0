package serve

import (
	"strings"

	"github.com/holdfast-web/holdfast/internal/blob"
)

// Unavailable turns d, the answer to r, into one that asks to come again.
func (d *Decision) Unavailable(r *Request, why string) {
	d.Range, d.Location, d.Wait, d.Guess = Range{}, "", "", false
	d.Ref, d.Off, d.Length = blob.Ref{}, 0, 0
	c := decider{r: r, d: d, a: d.App}
	c.unavailable(why)
}

func (c *decider) unavailable(why string) {
	c.fail(503, why)
	c.d.RetryAfter = 1
}

// fail answers with a line of text that is never cached.
func (c *decider) fail(status int, why string) {
	c.d.Status, c.d.Entry, c.d.Class = status, nil, failedBlock(c.a)
	if c.chosen != nil {
		c.d.Class = classesOf(c.a, c.chosen).selectedFailed
	}
	c.text(why)
}

// redirect sends the client to the same path with or without a slash at its end. The
// path starts with one slash and holds no empty segment, so it names no other host.
func (c *decider) redirect(s slash) {
	c.d.Status, c.d.Class = 308, redirectBlock()
	c.d.Location = escaped(strings.TrimSuffix(c.r.Path, "/"))
	why := "the page has no slash at the end of its path"
	if s == added {
		c.d.Location += "/"
		why = "the path needs a slash at its end"
	}
	if c.r.Query != "" {
		c.d.Location += "?" + escaped(c.r.Query)
	}
	c.text(why)
}

// escaped encodes characters that a client may have sent unescaped although no URL can
// contain them (RFC 3986, section 2).
func escaped(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c > ' ' && c < 0x7f && !strings.ContainsRune("\"#<>\\^`{|}", rune(c)) {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&0xf]})
	}
	return b.String()
}

func (c *decider) text(line string) {
	c.d.ContentLength = int64(len(line)) + 1
	if c.r.Method != "HEAD" {
		c.d.Text = line + "\n"
	}
}

func (c *decider) body(ref blob.Ref, s span) {
	if c.r.Method == "GET" {
		c.d.Ref, c.d.Off, c.d.Length = ref, s.off, s.n
	}
}

// wait asks for news of what is not known. The registry remembers by name, so
// names of one thing must be equal.
func (c *decider) wait(kind, name string) {
	if c.r.Waited {
		return
	}
	app := ""
	if c.a != nil {
		app = c.a.Name.String()
	}
	c.d.Wait, c.d.Guess = app+"/"+kind+name, false
}

// guess is wait for a file that nothing but the request speaks for.
func (c *decider) guess(name string) {
	if c.wait("", name); c.d.Wait != "" {
		c.d.Guess = true
	}
}
