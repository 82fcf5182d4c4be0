// Package fastpath answers plain HTTP/1.1 requests with little work: a goroutine a
// connection, the request parsed where it was read, ready-made header bytes, and one
// write. What to answer is serve's to decide, as for every other shell.
//
// It answers GET and HEAD requests of the form that browsers and proxies send (RFC
// 9112). What is out of the ordinary and allowed is handed to net/http, together with
// the bytes that were read: other methods, bodies, Expect, Upgrade, HTTP/1.0, absolute
// targets, repeated fields, HTTP/2. Such a connection stays there. What is no request
// is refused and the connection closed: a line that ends in a bare LF, a folded line,
// white space before a colon, a missing or second Host, and what is longer than the
// limits allow. Two parties never see two different requests in the same bytes, since
// nothing is repaired.
//
// Every phase of a connection has a deadline: the TLS handshake, the head of a request
// from its first byte, each piece of an answer, the wait for the next request.
package fastpath
