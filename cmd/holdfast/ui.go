package main

// Rules for all text that people read:
//
//   - The requested output goes to standard output, everything else to standard error, so
//     that output can be piped. With --json, standard output contains one JSON document
//     and nothing else, even if the command fails: it then has the key "error"
//     (docs/json.md).
//   - An error is "holdfast: error: <what happened to what, and why>" and, on a separate
//     line, "hint: <what to do next>". A warning has the same form.
//   - Results say what happened to what; a last line "next: …" gives the usual next
//     command, "to undo: …" the reverse. Colors only support the words.
//   - Exit codes: 0 done, 1 failed, 2 wrong use; status --check: 3 degraded, 4 down.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

const (
	exitDone = iota
	exitFailed
	exitUsage
	exitDegraded // status --check
	exitDown     // status --check
)

// exitStatus ends a command that has already reported its findings.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ui writes for people and programs.
type ui struct {
	out, err           io.Writer
	outColor, errColor bool
	terminal           bool              // err is one: progress may be drawn
	width, height      int               // of the terminal out; 0: not a terminal, so nothing is cut
	wantsJSON          bool              // --json was given
	document           any               // the document that --json prints at the end; nil for none
	commands           *strings.Replacer // of commands, as typed; nil: none
}

func newUI(out, err io.Writer, env func(string) (string, bool)) *ui {
	noColor, _ := env("NO_COLOR")
	kind, _ := env("TERM")
	colors := noColor == "" && kind != "dumb"
	width, height := terminalSize(out)
	return &ui{
		width: width, height: height,
		out: out, err: err, outColor: colors && isTerminal(out), errColor: colors && isTerminal(err),
		terminal: isTerminal(err) && kind != "dumb",
	}
}

// terminalSize returns a terminal's columns and lines; 0 if it is not one.
func terminalSize(w io.Writer) (width, height int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
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

// say writes a line to standard output, unless that is for a JSON document.
func (u *ui) say(format string, args ...any) {
	if !u.wantsJSON {
		fmt.Fprintf(u.out, format+"\n", args...)
	}
}

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

// hint says what to do about the last message.
func (u *ui) hint(text string) {
	fmt.Fprintf(u.err, "%s %s\n", dim.paint("hint:", u.errColor), u.typed(text))
}

// typed returns advice with its commands as they have to be typed here: as this program
// was called, with the global flags it was given.
func (u *ui) typed(advice string) string {
	if u.commands == nil {
		return advice
	}
	return strings.TrimPrefix(u.commands.Replace(" "+advice), " ")
}

// report has finish write v, a struct, as the one JSON document of the command, if --json
// was given, and says whether it was: text for people is then dropped.
func (u *ui) report(v any) bool {
	if u.wantsJSON {
		u.document = v
	}
	return u.wantsJSON
}

// table writes rows in columns below a header. No row at all writes nothing.
func (u *ui) table(header []string, rows [][]cell) {
	if len(rows) == 0 || u.wantsJSON {
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
	at := 0 // the column where this cell begins
	for i, c := range row {
		if u.width > 0 {
			c.text = cut(c.text, u.width-at)
		}
		if c.text != "" {
			b.WriteString(strings.Repeat(" ", padding))
			b.WriteString(c.style.paint(c.text, u.outColor))
			padding = 0
		}
		padding += widths[i] - c.width() + 2
		at += widths[i] + 2
	}
	return b.String()
}

// cut shortens a text to a number of columns.
func cut(text string, columns int) string {
	letters := []rune(text)
	switch {
	case len(letters) <= columns:
		return text
	case columns < 2:
		return ""
	}
	return string(letters[:columns-1]) + "…"
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

// finish ends a command: it reports err, if there is something to report, writes the
// document of --json, if there is one, and returns the exit code of the process. Of a
// command that failed the document has the key "error".
func (u *ui) finish(err error) int {
	code := exitDone
	var told *failure
	if err != nil {
		code = exitFailed
		var found exitStatus
		switch {
		case errors.As(err, &found):
			code = int(found)
		case !errors.Is(err, errReported):
			f := explain(err)
			f.Hint = u.typed(f.Hint)
			told = &f
			u.diagnose(red.paint("error:", u.errColor), f.Message, f.Hint)
		}
		if isUsage(err) {
			code = exitUsage
		}
	}
	if text, err := u.documentWith(told); err != nil {
		return u.finish(fmt.Errorf("write JSON: %w", err))
	} else if text != nil {
		if _, err := u.out.Write(text); err != nil {
			return max(code, exitFailed) // the reader is gone, or the disk is full
		}
	}
	return code
}

// documentWith returns the text of the document, including a failure; nil if there is
// nothing to print.
func (u *ui) documentWith(failed *failure) ([]byte, error) {
	document := u.document
	u.document = nil
	if failed != nil && u.wantsJSON && document == nil {
		document = failureDoc{*failed}
		failed = nil
	}
	if document == nil {
		return nil, nil
	}
	text, err := encodeJSON(document)
	if err != nil || failed == nil {
		return text, err
	}
	problem, err := encodeJSON(failureDoc{*failed})
	if err != nil {
		return nil, err
	}
	// Documents are objects: the failure becomes the last key.
	return slices.Concat(bytes.TrimSuffix(text, []byte("\n}\n")), []byte(","), bytes.TrimPrefix(problem, []byte("{"))), nil
}

func encodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
