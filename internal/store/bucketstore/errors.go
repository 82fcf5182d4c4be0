package bucketstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/minio/minio-go/v7"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/wait"
)

const (
	attempts     = 4
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
)

// try makes a request until it succeeds or fails permanently, a few times at most.
func (d *Driver) try(ctx context.Context, request func(context.Context) error) (err error) {
	pause := firstPause
	for n := range attempts {
		if n > 0 {
			if wait.For(ctx, pause/2+rand.N(pause)) != nil {
				return err
			}
			pause = min(2*pause, longestPause)
		}
		if err = request(ctx); err == nil || ctx.Err() != nil || !mayPass(err) {
			return err
		}
	}
	return err
}

// limit bounds a request with a short answer. The library waits up to 200 ms after a
// failure, to no effect.
func (d *Driver) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, d.timeout+time.Second)
}

// mayPass reports whether a failed request may succeed when repeated: if there was no
// answer from the server, or one that says so.
func mayPass(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return !isForGood(err)
	}
	switch answer.StatusCode {
	case http.StatusNotImplemented:
		return false
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusConflict: // another process is changing the same key
		// The last one is versitygw's, which stores objects as files: it also occurs when
		// another process just deleted the last other object in the directory.
		return isCode(err, "ConditionalRequestConflict", "OperationAborted", minio.Conflict, "ExistingObjectIsDirectory")
	}
	return answer.StatusCode >= 500 || isCode(err, "SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable",
		"Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "ExpiredToken", "IncompleteBody", "BadDigest",
		"XAmzContentSHA256Mismatch")
}

// isForGood recognizes permanent errors of the connection.
func isForGood(err error) bool {
	var certificate *x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var argument errArgument
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &argument)
}

// errArgument marks errors that no retry can fix.
type errArgument struct{ error }

func (e errArgument) Unwrap() error { return e.error }

func isCode(err error, codes ...string) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && slices.Contains(codes, answer.Code)
}

func isStatus(err error, status int) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == status
}

// isExists reports whether a conditional request found the key taken.
func isExists(err error) bool { return isStatus(err, http.StatusPreconditionFailed) }

// explained adds advice to errors that need someone to act.
func explained(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	hints := map[string]string{
		minio.NoSuchBucket:             "the bucket does not exist: create it, or correct the store URL",
		minio.AccessDenied:             "the credentials do not allow it: they need to list the bucket and to read, write and delete its objects",
		"InvalidAccessKeyId":           "the server does not know the access key: check the credentials",
		"SignatureDoesNotMatch":        "the secret key is wrong, or something on the way changes requests: check the credentials",
		"RequestTimeTooSkewed":         "this machine's clock is wrong",
		"AuthorizationHeaderMalformed": "the region is wrong: set region= in the store URL",
		"PermanentRedirect":            "the bucket is in another region: set region= in the store URL",
		"EntityTooLarge":               "the server does not take a blob of that size in one request",
	}
	if denied := []string{minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch"}; slices.Contains(denied, answer.Code) {
		return fmt.Errorf("%w: %s (%s: %w)", holdfast.ErrDenied, hints[answer.Code], answer.Code, err)
	}
	if hint, ok := hints[answer.Code]; ok {
		return fmt.Errorf("%s (%s: %w)", hint, answer.Code, err)
	}
	return fmt.Errorf("%s: %w", answer.Code, err)
}
