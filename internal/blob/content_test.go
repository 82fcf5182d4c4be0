package blob_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/blob"
)

func TestWriteRange(t *testing.T) {
	for name, size := range map[string]int{"memory": 1000, "spool": 300_000} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, blob.Options{})
			data := noise(size, 1)
			c, err := b.Open(t.Context(), b.put(t, data))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close() //nolint:errcheck // tested elsewhere
			n := int64(size)
			for _, r := range [][2]int64{{0, n}, {0, 0}, {n, 0}, {0, 1}, {n - 1, 1}, {10, n - 20}} {
				for kind, content := range map[string]blob.Content{"own": c, "foreign": struct{ blob.Content }{c}} {
					var got bytes.Buffer
					written, err := blob.WriteRange(&got, content, r[0], r[1])
					if err != nil || written != r[1] || !bytes.Equal(got.Bytes(), data[r[0]:r[0]+r[1]]) {
						t.Errorf("%s: WriteRange(%d, %d) = %d, %v", kind, r[0], r[1], written, err)
					}
				}
			}
			for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, n + 1}, {n, 1}, {n + 1, 0}, {1, 1<<63 - 1}} {
				if _, err := blob.WriteRange(io.Discard, c, r[0], r[1]); !errors.Is(err, holdfast.ErrInvalid) {
					t.Errorf("WriteRange(%d, %d) = %v, want ErrInvalid", r[0], r[1], err)
				}
			}
			testSend(t, c, data)
		})
	}
}

// testSend writes ranges to a network connection, where sendfile is used, from several
// goroutines that share one file.
func testSend(t *testing.T, c blob.Content, data []byte) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // a test
	var wg sync.WaitGroup
	for i := range int64(4) {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			_, err := blob.WriteRange(server, c, i, c.Size()-i)
			if err := errors.Join(err, server.Close()); err != nil {
				t.Errorf("WriteRange = %v", err)
			}
		})
		wg.Go(func() {
			got, err := io.ReadAll(client)
			if err != nil || !bytes.Equal(got, data[i:]) {
				t.Errorf("received %d bytes, %v, want %d", len(got), err, len(data)-int(i))
			}
			_ = client.Close()
		})
	}
	wg.Wait()
}
