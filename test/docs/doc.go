// Package docs tests what the documentation says: it has tests only.
//
// Every fenced block marked "console" in README.md and docs/*.md is run, page by
// page, each page in a directory of its own that holds dist/, a real build.
//
//   - A line that starts with "$ " is a command for bash. Lines up to the next
//     one are what it prints, standard output and standard error together. A
//     command that shows no output may print anything.
//   - "…" within a line stands for any text; a line that is "…" alone stands for
//     any number of lines.
//   - A command must succeed, unless it shows "holdfast: error:"; then it must fail.
//   - "$ holdfast serve … &" is kept running until "$ kill %1" or the end of the
//     page, and must end well. What follows it is what it prints until it is ready.
//   - "$ npm run build" puts the next of two releases of a site into dist/.
//   - "$ make TARGET" is not run: the Makefile must have the target.
//
// Commands in a block that is not marked so, of whatever language, are an error:
// no command line escapes the test.
package docs
