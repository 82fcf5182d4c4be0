package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/holdfast-web/holdfast/internal/front"
	"github.com/holdfast-web/holdfast/internal/node"
	"github.com/holdfast-web/holdfast/internal/peer"
)

// peerOptions are the flags of serve that let nodes fetch from each other.
type peerOptions struct {
	listen, address string
	secretFile      string
	ca, cert, key   string

	certificates *front.Certificates // once they are loaded; nil without TLS
	peering      *node.Peering       // the result of the flags; nil if they are unset
}

const peerSecretVariable = "HOLDFAST_PEER_SECRET"

func (o *peerOptions) flags(flags *pflag.FlagSet) {
	flags.StringVar(&o.listen, "peer-listen", "", "the `address` to answer other nodes on; with it, nodes fetch from each other when the store fails")
	flags.StringVar(&o.address, "peer-address", "", "the `address` of --peer-listen for other nodes, if it differs")
	flags.StringVar(&o.secretFile, "peer-secret-file", "", "the `file` with the secret that all nodes share; or set "+peerSecretVariable)
	flags.StringVar(&o.ca, "peer-ca", "", "use TLS between nodes, trusting the authorities in this PEM `file`")
	flags.StringVar(&o.cert, "peer-cert", "", "this node's certificate for that, a PEM `file`")
	flags.StringVar(&o.key, "peer-key", "", "the private key that goes with --peer-cert, a PEM `file`")
	configurable(flags, "peer-listen", "peer-address", "peer-secret-file", "peer-ca", "peer-cert", "peer-key")
}

func (o *peerOptions) check() error {
	switch {
	case o.listen == "" && (o.address != "" || o.secretFile != "" || o.ca != "" || o.cert != "" || o.key != ""):
		return usage("--peer-address, --peer-secret-file, --peer-ca, --peer-cert and --peer-key require --peer-listen")
	case o.listen != "" && !isAddress(o.listen):
		return usage("--peer-listen %s: want host:port or :port", o.listen)
	case o.address != "" && !isAddress(o.address):
		return usage("--peer-address %s: want host:port", o.address)
	case (o.ca == "") != (o.cert == "") || (o.cert == "") != (o.key == ""):
		return usage("--peer-ca, --peer-cert and --peer-key go together: nodes authenticate each other")
	}
	return nil
}

// peering converts the flags, nil if they are unset. Objects are left to the caller.
func (c *cli) peering(o *peerOptions, log *slog.Logger) (*node.Peering, error) {
	if o.listen == "" {
		return nil, nil
	}
	secrets, err := c.peerSecrets(o.secretFile)
	if err != nil {
		return nil, err
	}
	trust, certificates, err := o.tls(log)
	if err != nil {
		return nil, err
	}
	o.certificates = certificates
	return node.NewPeering(o.listen, o.address, secrets, trust, log)
}

// peerSecrets come from the file, else from the environment. There is no flag for them,
// because every user on the machine can see command lines.
func (c *cli) peerSecrets(file string) (peer.Secrets, error) {
	text, set := c.env(peerSecretVariable)
	where := peerSecretVariable
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return peer.Secrets{}, fmt.Errorf("read --peer-secret-file: %w", err)
		}
		text, where = string(data), "--peer-secret-file "+file
	} else if !set || text == "" {
		return peer.Secrets{}, usage("--peer-listen requires a secret that all nodes share, in --peer-secret-file or %s: create one with openssl rand -hex 32", peerSecretVariable)
	}
	secrets, err := peer.ParseSecrets(text)
	if err != nil {
		return peer.Secrets{}, usageError{fmt.Errorf("%s: %w", where, err)}
	}
	return secrets, nil
}

// tls returns the configuration of both sides and the certificates in it, nil without
// flags for it.
func (o *peerOptions) tls(log *slog.Logger) (*tls.Config, *front.Certificates, error) {
	if o.ca == "" {
		return nil, nil, nil
	}
	text, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, nil, fmt.Errorf("read --peer-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, nil, usage("--peer-ca %s: no PEM certificate in it", o.ca)
	}
	certificates, err := front.LoadCertificates(o.cert, o.key, log)
	if err != nil {
		return nil, nil, fmt.Errorf("load --peer-cert and --peer-key: %w", err)
	}
	return &tls.Config{
		RootCAs: roots, GetCertificate: certificates.Get,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificates.Get(nil) },
	}, certificates, nil
}
