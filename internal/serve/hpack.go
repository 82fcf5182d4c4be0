package serve

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// hpackOf returns fields as HTTP/2 sends them: literals that do not enter the
// dynamic table (RFC 7541, section 6.2.2), so that the bytes mean the same at every
// place of every connection.
func hpackOf(fields []Field) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	_ = e.WriteField(hpack.HeaderField{Name: "date"}) // with it goes the size of the table; a Buffer never fails
	b.Reset()
	for _, f := range fields {
		_ = e.WriteField(hpack.HeaderField{Name: strings.ToLower(f.Name), Value: f.Value})
	}
	return b.Bytes()
}

// appendHPACKTo appends the fields as HTTP/2 sends them.
func (b *Block) appendHPACKTo(to []byte) []byte {
	if b == nil {
		return to
	}
	if known := b.hpack.Load(); known != nil {
		return append(to, *known...)
	}
	text := hpackOf(b.fields)
	b.hpack.Store(&text) // two may do so at once: their results are equal
	return append(to, text...)
}

// AppendHPACK appends one field as hpackOf does, without allocating. Its name must
// be in lower case.
func AppendHPACK(b []byte, name, value string) []byte {
	b = append(b, 0)
	b = appendHPACKString(b, name)
	return appendHPACKString(b, value)
}

// appendHPACKString appends a string literal without Huffman coding (RFC 7541,
// section 5.2).
func appendHPACKString(b []byte, s string) []byte {
	const most = 1<<7 - 1
	n := len(s)
	if n < most {
		return append(append(b, byte(n)), s...)
	}
	b = append(b, most)
	for n -= most; n >= 1<<7; n >>= 7 {
		b = append(b, byte(n)|1<<7)
	}
	return append(append(b, byte(n)), s...)
}

// AppendHeaderHPACK appends the header of d, whose body is p, as HTTP/2 sends it
// (RFC 9113, section 8.3.2), without Date.
func (h *Handler) AppendHeaderHPACK(b []byte, d *Decision, p *Payload) []byte {
	b = appendStatusHPACK(b, d.Status)
	for _, block := range [...]*Block{d.Entry, d.Class, d.Offer} {
		b = block.appendHPACKTo(b)
	}
	h.eachOther(d, p.hot, func(name, value string) {
		if name != "Connection" { // HTTP/2 has GOAWAY for that
			b = AppendHPACK(b, strings.ToLower(name), value)
		}
	})
	return b
}

// appendStatusHPACK appends the pseudo-header field ":status", which the static
// table has for some values (RFC 7541, appendix A).
func appendStatusHPACK(b []byte, status int) []byte {
	const indexed = 1 << 7
	switch status {
	case http.StatusOK:
		return append(b, indexed|8)
	case http.StatusNoContent:
		return append(b, indexed|9)
	case http.StatusPartialContent:
		return append(b, indexed|10)
	case http.StatusNotModified:
		return append(b, indexed|11)
	case http.StatusBadRequest:
		return append(b, indexed|12)
	case http.StatusNotFound:
		return append(b, indexed|13)
	}
	return strconv.AppendInt(append(b, 8, 3), int64(status), 10)
}
