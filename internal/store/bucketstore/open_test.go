package bucketstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
	"github.com/holdfast-web/holdfast/internal/store/bucketstore"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestParseURL(t *testing.T) {
	const amazon = "https://s3.amazonaws.com"
	for raw, want := range map[string]bucketstore.Config{
		"s3://bucket":                          {Endpoint: amazon, Bucket: "bucket"},
		"s3://bucket/":                         {Endpoint: amazon, Bucket: "bucket"},
		"s3://bucket/a/b/?region=eu-central-1": {Endpoint: amazon, Bucket: "bucket", Prefix: "a/b", Region: "eu-central-1"},
		"s3://my.bucket/p?endpoint=http://127.0.0.1:9000": {
			Endpoint: "http://127.0.0.1:9000", Bucket: "my.bucket", Prefix: "p", Region: "us-east-1",
		},
		"s3://bucket?endpoint=https%3A%2F%2Fs3.example.com%2F&region=x": {
			Endpoint: "https://s3.example.com/", Bucket: "bucket", Region: "x",
		},
	} {
		got, err := bucketstore.ParseURL(raw)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", raw, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(bucketstore.Config{}, "Timeout", "PartSize")); diff != "" {
			t.Errorf("ParseURL(%q) (-want +got):\n%s", raw, diff)
		}
	}
	for _, raw := range []string{
		"", "s3:", "s3://", "s3:bucket", "http://bucket", "s3://UPPER", "s3://b", "s3://key:hunter2@bucket/p", "s3://key:hunter2@bucket:x/%zz",
		"s3://bucket/.hidden", "s3://bucket/a//b", "s3://bucket/a b", "s3://bucket#x", "s3://bucket?endpoint=s3.example.com",
		"s3://bucket?endpoint=ftp://h", "s3://bucket?endpoint=http://u:hunter2@h", "s3://bucket?endpoint=http://h/path",
		"s3://bucket?region=a&region=b", "s3://bucket?secret_key=hunter2", "s3://bucket?%zz", "s3://bucket:80",
	} {
		c, err := bucketstore.ParseURL(raw)
		if !errors.Is(err, holdfast.ErrInvalid) {
			t.Errorf("ParseURL(%q) = %+v, %v, want ErrInvalid", raw, c, err)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseURL(%q) shows a secret: %v", raw, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"s3://bucket/p?endpoint=http://h:1&region=r", "s3://u:p@bucket", "s3://bucket/%2e/x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := bucketstore.ParseURL(raw)
		if err != nil {
			return
		}
		if c.Prefix != "" && store.CheckKey(c.Prefix) != nil || len(c.Bucket) < 3 || c.AccessKey != "" {
			t.Fatalf("ParseURL(%q) = %+v", raw, c)
		}
		d, err := bucketstore.New(c)
		if err != nil {
			t.Fatalf("New of ParseURL(%q) = %+v: %v", raw, c, err)
		}
		_ = d.Close()
	})
}

// TestOpenErrors: each error says what is wrong and what to do.
func TestOpenErrors(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	good := config(t, s3)
	good.Timeout = 2 * time.Second
	for name, test := range map[string]struct {
		change      func(*bucketstore.Config)
		unavailable bool
		words       []string
	}{
		"no bucket":  {func(c *bucketstore.Config) { c.Bucket = "missing" }, false, []string{"s3://missing/ at " + s3.URL, "create it"}},
		"wrong user": {func(c *bucketstore.Config) { c.AccessKey = "nobody" }, false, []string{"access key", "check the credentials"}},
		"wrong key":  {func(c *bucketstore.Config) { c.SecretKey = "wrong" }, false, []string{"secret key is wrong"}},
		"no server":  {func(c *bucketstore.Config) { c.Endpoint = "http://127.0.0.1:1" }, true, []string{"connection refused"}},
		"no TLS":     {func(c *bucketstore.Config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }, false, []string{"HTTPS"}},
		"bad part":   {func(c *bucketstore.Config) { c.PartSize = 1 }, false, []string{"parts of 1 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			test.change(&c)
			d, err := bucketstore.Open(t.Context(), c)
			if err == nil {
				_ = d.Close()
				t.Fatal("Open succeeded")
			}
			for _, word := range test.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Open: %v; want %q in it", err, word)
				}
			}
			if errors.Is(err, holdfast.ErrUnavailable) != test.unavailable || errors.Is(err, holdfast.ErrNotFound) {
				t.Errorf("Open: %v: unavailable should be %v", err, test.unavailable)
			}
			t.Log(err)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := bucketstore.Open(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a context that ended: %v", err)
	}
}

// TestCredentials are found in the same places as with other tools.
func TestCredentials(t *testing.T) {
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	c.AccessKey, c.SecretKey = "", ""
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	if _, err := bucketstore.Open(t.Context(), c); !errors.Is(err, holdfast.ErrInvalid) || !strings.Contains(err.Error(), "set AWS_ACCESS_KEY_ID") {
		t.Errorf("Open without credentials: %v", err)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	text := fmt.Sprintf("[other]\naws_access_key_id = %s\naws_secret_access_key = %s\n", s3.AccessKey, s3.SecretKey)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_PROFILE", "other")
	open(t, c)
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_ACCESS_KEY_ID", s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3.SecretKey)
	open(t, c)
}

// TestReadOnly: read-only credentials can read, and are reported when the store is
// opened.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	s3 := services.StartS3(t, services.S3Options{})
	c := config(t, s3)
	d := open(t, c)
	if err := d.Create(t.Context(), "k", 4, strings.NewReader("text")); err != nil {
		t.Fatal(err)
	}
	c.AccessKey, c.SecretKey = s3.User(t, "reader")
	policy := strings.ReplaceAll(`{"Statement": [{"Effect": "Allow", "Principal": ["reader"],
		"Action": ["s3:ListBucket", "s3:GetObject"], "Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"]}]}`, "BUCKET", c.Bucket)
	if err := newCore(t, s3).SetBucketPolicy(t.Context(), c.Bucket, policy); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	reader := open(t, c)
	if !strings.Contains(log.String(), "cannot write") {
		t.Errorf("the log says %q", log.String())
	}
	wantWhole(t, reader, "k", []byte("text"))
	err := reader.Create(t.Context(), "l", 4, strings.NewReader("text"))
	if err == nil || errors.Is(err, holdfast.ErrUnavailable) || !strings.Contains(err.Error(), "credentials do not allow it") {
		t.Errorf("Create without permission: %v", err)
	}
}
