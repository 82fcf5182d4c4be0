package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	holdfast "github.com/holdfast-web/holdfast"
)

// Webhook is a hook that posts the event as JSON to a URL. It succeeds with a 2xx status;
// redirects are not followed. With a secret, the request is signed according to the
// Standard Webhooks specification (standardwebhooks.com).
type Webhook struct {
	url    string
	secret []byte // none: unsigned
	client *http.Client
	clock  func() time.Time
}

var _ Action = (*Webhook)(nil)

// NewWebhook checks a URL, and a secret of the form "whsec_" with base64 of 24 to
// 64 bytes, or "" for none.
func NewWebhook(target, secret string) (*Webhook, error) {
	w := &Webhook{url: target, client: client(), clock: time.Now}
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: no URL such as https://example.com/hook", holdfast.ErrInvalid)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("%w: http would send events in the clear; it is for addresses of this machine alone: use https", holdfast.ErrInvalid)
	}
	if secret == "" {
		return w, nil
	}
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if w.secret, err = base64.StdEncoding.DecodeString(encoded); !ok || err != nil || len(w.secret) < 24 || len(w.secret) > 64 {
		return nil, fmt.Errorf("%w: the secret is not whsec_ and 24 to 64 bytes in base64", holdfast.ErrInvalid)
	}
	return w, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// client keeps no connection: hooks are rare, and a receiver may move.
func client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		// A redirect must not choose which server learns of events, or which addresses a
		// node calls.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Run implements Action.
func (w *Webhook) Run(ctx context.Context, d *Delivery) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(d.Body))
	if err != nil {
		return fmt.Errorf("make request: %w", withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "holdfast")
	req.Header.Set("Holdfast-Try", strconv.Itoa(d.Try))
	w.sign(req.Header, d)
	resp, err := w.client.Do(req)
	if err != nil {
		return fmt.Errorf("post: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	said := &tail{most: outputMost}
	_, _ = io.Copy(said, io.LimitReader(resp.Body, outputMost)) // the status alone decides
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return &Failure{Reason: fmt.Sprintf("the answer is %d, and redirects are not followed", resp.StatusCode), Output: said.String()}
	}
	return &Failure{Reason: fmt.Sprintf("the answer is %d", resp.StatusCode), Output: said.String()}
}

// sign sets the three fields of Standard Webhooks; the signature needs a secret.
func (w *Webhook) sign(header http.Header, d *Delivery) {
	stamp := strconv.FormatInt(w.clock().Unix(), 10)
	header.Set("Webhook-Id", d.ID)
	header.Set("Webhook-Timestamp", stamp)
	if w.secret == nil {
		return
	}
	mac := hmac.New(sha256.New, w.secret)
	fmt.Fprintf(mac, "%s.%s.%s", d.ID, stamp, d.Body)
	header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// withoutURL removes the URL from an error: it may contain a secret.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
