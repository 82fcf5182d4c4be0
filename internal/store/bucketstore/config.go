package bucketstore

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/store"
)

const (
	amazon         = "https://s3.amazonaws.com"
	defaultRegion  = "us-east-1"
	defaultTimeout = 30 * time.Second
	// identityTimeout bounds a request for the machine's credentials.
	identityTimeout = 5 * time.Second
)

// Config names the bucket and the way to reach it.
type Config struct {
	Endpoint string // http or https URL without a path; "" is Amazon's
	Bucket   string
	Prefix   string // of all keys in the bucket, a path; may be empty
	Region   string // "" asks Amazon; us-east-1 elsewhere

	// Unless these are set, credentials come from the environment as in other tools:
	// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, then the shared
	// credentials file (AWS_SHARED_CREDENTIALS_FILE, AWS_PROFILE, ~/.aws/credentials),
	// then, with Amazon only, the role of the machine or container.
	AccessKey, SecretKey, SessionToken string

	TLS *tls.Config // authorities and client certificate, if they are not the system's

	// Timeout is how long a request may go without progress; 0 is 30 seconds.
	Timeout time.Duration

	// PartSize is the size in bytes above which a blob is uploaded in parts of that size;
	// 0 is 16 MiB. Each Create holds one part in memory. At least 5 MiB.
	PartSize int64

	Logger *slog.Logger // for cleanups; nil discards
}

// ParseURL reads s3://BUCKET[/PREFIX][?endpoint=URL][&region=REGION]. Credentials are
// refused, because URLs end up in logs and process lists.
func ParseURL(raw string) (Config, error) {
	u, err := url.Parse(raw)
	if err != nil { // not shown: it may contain a secret
		return Config{}, fmt.Errorf("store URL: want s3://BUCKET/PREFIX?endpoint=URL&region=REGION: %w", holdfast.ErrInvalid)
	}
	if u.User != nil {
		return Config{}, fmt.Errorf("store URL: credentials must not stand in the URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a credentials file: %w",
			holdfast.ErrInvalid)
	}
	if u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return Config{}, fmt.Errorf("store URL %q: want s3://BUCKET/PREFIX?endpoint=URL&region=REGION: %w", raw, holdfast.ErrInvalid)
	}
	c := Config{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	if err := c.parseOptions(u.RawQuery); err != nil {
		return Config{}, fmt.Errorf("store URL: %w", err)
	}
	if err := c.fill(); err != nil {
		return Config{}, fmt.Errorf("store URL: %w", err)
	}
	return c, nil
}

func (c *Config) parseOptions(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("%w: options that are not escaped as in URLs", holdfast.ErrInvalid)
	}
	for name, values := range query {
		if len(values) > 1 {
			return fmt.Errorf("%w: option %s is given twice", holdfast.ErrInvalid, name)
		}
		switch name {
		case "endpoint":
			c.Endpoint = values[0]
		case "region":
			c.Region = values[0]
		default: // the value may be a secret
			return fmt.Errorf("%w: option %s is unknown: there are endpoint and region", holdfast.ErrInvalid, name)
		}
	}
	return nil
}

// fill sets defaults, and checks the rest.
func (c *Config) fill() error {
	if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		return fmt.Errorf("%w: bucket %q: %w", holdfast.ErrInvalid, c.Bucket, err)
	}
	if c.Prefix = strings.Trim(c.Prefix, "/"); c.Prefix != "" {
		if err := store.CheckKey(c.Prefix); err != nil {
			return fmt.Errorf("prefix: %w", err)
		}
	}
	if c.Endpoint == "" {
		c.Endpoint = amazon
	}
	if _, err := c.endpoint(); err != nil {
		return err
	}
	if c.Region == "" && !c.isAmazon() {
		c.Region = defaultRegion
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPart
	}
	if c.PartSize < minPart {
		return fmt.Errorf("%w: parts of %d bytes: want %d at least", holdfast.ErrInvalid, c.PartSize, minPart)
	}
	return nil
}

// endpoint returns the server's URL.
func (c *Config) endpoint() (*url.URL, error) {
	u, err := url.Parse(c.Endpoint)
	if err == nil && u.User != nil { // not shown
		return nil, fmt.Errorf("%w: credentials must not stand in the endpoint", holdfast.ErrInvalid)
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: endpoint: want http://HOST:PORT or https://HOST:PORT", holdfast.ErrInvalid)
	}
	return u, nil
}

func (c *Config) isAmazon() bool {
	u, err := c.endpoint()
	return err == nil && s3utils.IsAmazonEndpoint(*u)
}

func (c *Config) credentials() *credentials.Credentials {
	if c.AccessKey != "" {
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey, c.SessionToken)
	}
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if c.isAmazon() {
		providers = append(providers, &credentials.IAM{
			Client: &http.Client{Transport: newTransport(c.TLS, identityTimeout), Timeout: identityTimeout},
		})
	}
	return credentials.NewChainCredentials(providers)
}
