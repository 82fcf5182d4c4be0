package main

// Rules for all text that people read:
//
//   - What was asked for goes to standard output, everything else to standard
//     error, so that output can be piped. With --json, standard output holds one
//     JSON document and nothing else.
//   - An error is "holdfast: error: <what happened to what, and why>" and, on a
//     line of its own, "hint: <what to do next>". A warning has the same form.
//   - Results say what happened to what; a last line "next: …" says what usually
//     follows. Colours only support what the words say already.
//   - Exit codes: 0 done, 1 failed, 2 wrong use.

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

const (
	exitDone = iota
	exitFailed
	exitUsage
)

// ui writes for people and programs.
type ui struct {
	out, err           io.Writer
	outColor, errColor bool
	terminal           bool // err is one: progress may be drawn
}

func newUI(out, err io.Writer, env func(string) (string, bool)) *ui {
	noColor, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	colors := noColor == "" && kind != "dumb"
	return &ui{
		out: out, err: err, outColor: colors && isTerminal(out), errColor: colors && isTerminal(err),
		terminal: isTerminal(err) && kind != "dumb",
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// style is an ANSI SGR parameter (ECMA-48); "" is plain.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

func (s style) paint(text string, colors bool) string {
	if s == plain || !colors {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// say writes a line to standard output.
func (u *ui) say(format string, args ...any) { fmt.Fprintf(u.out, format+"\n", args...) }

// note writes a line to standard error: something worth knowing, nothing wrong.
func (u *ui) note(format string, args ...any) {
	fmt.Fprintf(u.err, "holdfast: "+format+"\n", args...)
}

// warn writes a warning, and a hint if there is one.
func (u *ui) warn(hint, format string, args ...any) {
	u.diagnose(yellow.paint("warning:", u.errColor), fmt.Sprintf(format, args...), hint)
}

func (u *ui) diagnose(kind, message, hint string) {
	fmt.Fprintf(u.err, "holdfast: %s %s\n", kind, message)
	if hint != "" {
		u.hint(hint)
	}
}

// hint says what to do about what was said last.
func (u *ui) hint(text string) { fmt.Fprintf(u.err, "%s %s\n", dim.paint("hint:", u.errColor), text) }

// json writes one JSON document.
func (u *ui) json(v any) error {
	e := json.NewEncoder(u.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

// table writes rows in columns below a header. No row at all writes nothing.
func (u *ui) table(header []string, rows [][]cell) {
	if len(rows) == 0 {
		return
	}
	all := make([][]cell, 0, len(rows)+1)
	var head []cell
	for _, h := range header {
		head = append(head, cell{h, dim})
	}
	all = append(append(all, head), rows...)
	widths := make([]int, len(header))
	for _, row := range all {
		for i, c := range row {
			widths[i] = max(widths[i], c.width())
		}
	}
	for _, row := range all {
		fmt.Fprintln(u.out, u.row(row, widths))
	}
}

func (u *ui) row(row []cell, widths []int) string {
	var b strings.Builder
	padding := 0
	for i, c := range row {
		if c.text != "" {
			b.WriteString(strings.Repeat(" ", padding))
			b.WriteString(c.style.paint(c.text, u.outColor))
			padding = 0
		}
		padding += widths[i] - c.width() + 2
	}
	return b.String()
}

// cell is one field of a table.
type cell struct {
	text  string
	style style
}

func (c cell) width() int { return len([]rune(c.text)) }

// cells makes plain cells.
func cells(texts ...string) []cell {
	row := make([]cell, len(texts))
	for i, t := range texts {
		row[i] = cell{text: t}
	}
	return row
}

// exitCode reports err, if there is something to report, and turns it into the
// exit code of the process.
func (u *ui) exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if errors.Is(err, errReported) {
		return exitFailed
	}
	message, hint := explain(err)
	u.diagnose(red.paint("error:", u.errColor), message, hint)
	if isUsage(err) {
		return exitUsage
	}
	return exitFailed
}
