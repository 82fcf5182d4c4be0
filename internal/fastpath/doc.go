// Package fastpath answers plain requests with little work: one goroutine per
// connection, requests parsed where they were read, ready-made header bytes, and one
// write for everything that is ready. What to answer is decided by package serve, as
// for every other shell.
//
// # HTTP/1.1
//
// It answers GET and HEAD requests of the form that browsers and proxies send (RFC
// 9112). Requests that are unusual but allowed go to net/http, together with the bytes
// that were read: other methods, content, Expect, Upgrade, HTTP/1.0, absolute targets
// and repeated fields. Such a connection stays there. Malformed requests are refused
// and the connection is closed: a line that ends in a bare LF, a folded line, white
// space before a colon, a missing or second Host, and anything longer than the limits.
// Nothing is repaired, so two parties never see two different requests in the same
// bytes.
//
// # HTTP/2
//
// It speaks HTTP/2 (RFC 9113) over TLS, where the client chose it by ALPN, and in
// cleartext with prior knowledge, and answers every request itself. Header fields are
// literals outside the dynamic table, encoded once per file. Bodies are sent by
// urgency (RFC 9218) within the windows of the client. An answer that has to wait for
// the registry or for bytes holds up no other stream. Clients that send frames without
// asking for anything, or that never end a header, are sent away.
//
// # Deadlines
//
// Every phase of a connection has one: the TLS handshake, a header or frame from its
// first byte, each piece of an answer, and the wait for the next request.
package fastpath
