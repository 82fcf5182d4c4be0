// Package archtest holds no code, only tests that read the source tree: that
// every import is one the architecture allows, that no package has an init
// function or a variable that can change, that files, functions and interfaces
// stay within their sizes, that one package makes HTTP servers, and that
// docs/dependencies.md names what go.mod requires.
//
// The law itself is data, in law_test.go. Whoever needs an import that is not
// there changes the law in the same commit and says why; a package or a library
// that is not listed there fails the test.
//
// All files are read, whatever their build constraints say. Nested modules,
// testdata, node_modules, and directories whose name begins with a dot or an
// underscore are not.
package archtest
