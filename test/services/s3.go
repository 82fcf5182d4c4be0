package services

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// S3 is a real S3 server, versitygw, over a directory, on loopback.
type S3 struct {
	URL                  string // https with TLS
	Region               string
	AccessKey, SecretKey string // of the root user
	PKI                  *PKI   // nil without TLS
	dir                  string
	daemon               *daemon
}

// S3Options of StartS3. The zero value will do.
type S3Options struct{ TLS bool }

// StartS3 starts a server without buckets; it ends with the test.
func StartS3(t testing.TB, o S3Options) *S3 {
	t.Helper()
	port := loopbackPort(t)
	s := &S3{
		URL: "http://127.0.0.1:" + port, Region: "us-east-1",
		AccessKey: "holdfast-test", SecretKey: "holdfast-test-secret", dir: t.TempDir(),
	}
	args := []string{"--port", "127.0.0.1:" + port, "--keep-alive", "--region", s.Region}
	if o.TLS {
		s.PKI = NewPKI(t)
		s.URL = "https://127.0.0.1:" + port
		args = append(args, "--cert", s.PKI.ServerCert, "--key", s.PKI.ServerKey)
	}
	args = append(args, "--iam-dir", t.TempDir(), "posix", s.dir)
	s.daemon = newDaemon(t, "versitygw", tool(t, "versitygw"), args...)
	s.daemon.env = []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}
	s.Restart()
	return s
}

// Bucket makes an empty bucket.
func (s *S3) Bucket(t testing.TB, name string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(s.dir, name), 0o700); err != nil {
		t.Fatal(err)
	}
}

// Kill ends the server as a crash would; Restart starts it again.
func (s *S3) Kill() { s.daemon.kill() }

// Pause stops the server without closing anything; Resume lets it go on.
func (s *S3) Pause() { s.daemon.pause() }

// Resume is the opposite of Pause.
func (s *S3) Resume() { s.daemon.resume() }

// Restart starts the server after Kill, and waits until it answers.
func (s *S3) Restart() {
	s.daemon.t.Helper()
	s.daemon.run()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: readiness}
	if s.PKI != nil {
		client.Transport.(*http.Transport).TLSClientConfig = s.PKI.ClientTLS()
	}
	s.daemon.await(func() error {
		resp, err := client.Get(s.URL)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// Addr is the server's host and port.
func (s *S3) Addr() string {
	_, port, _ := net.SplitHostPort(s.daemon.args[1])
	return net.JoinHostPort("127.0.0.1", port)
}

// Dir is the directory that holds a directory for each bucket.
func (s *S3) Dir() string { return s.dir }

// User makes a user who may do nothing yet.
func (s *S3) User(t testing.TB, name string) (accessKey, secretKey string) {
	t.Helper()
	secretKey = name + "-secret"
	s.admin(t, "create-user", "--access", name, "--secret", secretKey, "--role", "user")
	return name, secretKey
}

// admin runs the server's own administration.
func (s *S3) admin(t testing.TB, args ...string) {
	t.Helper()
	args = append([]string{"admin", "--access", s.AccessKey, "--secret", s.SecretKey, "--endpoint-url", s.URL, "--region", s.Region}, args...)
	out, err := exec.CommandContext(t.Context(), s.daemon.path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("versitygw %s: %v\n%s", args[0], err, out)
	}
}
