package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"syscall"

	holdfast "github.com/holdfast-web/holdfast"
	"github.com/holdfast-web/holdfast/internal/kv"
	"github.com/holdfast-web/holdfast/internal/registry"
)

// cause is the reason for a failure, for advice on what to do next.
type cause struct {
	code string // for programs; documented in docs/json.md
	is   func(error) bool
	hint func(error) string // nil: the message says it all
}

// causeOf returns the most specific known cause of err; nil for none.
func causeOf(err error) *cause {
	all := causes()
	if i := slices.IndexFunc(all, func(c cause) bool { return c.is(err) }); i >= 0 {
		return &all[i]
	}
	return nil
}

// causes lists the causes that any command may meet, from the most to the least specific.
// All hints for causes are here.
func causes() []cause {
	return slices.Concat(causesInUse(), causesOfPlace(), causesOnTheWay(), causesOfState())
}

// causesInUse are those of how the program was called, or ended.
func causesInUse() []cause {
	return []cause{
		{"usage", isUsage, nil},
		{"interrupted", oneOf(context.Canceled), advice("run the same command again to continue: stored objects are reused")},
	}
}

// causesOfPlace are those of disks, files and addresses of this machine.
func causesOfPlace() []cause {
	return []cause{
		{"no_space", oneOf(syscall.ENOSPC), advice("free some space there, or name another place with --data, then run the same command again: stored objects are reused")},
		{"no_space", oneOf(syscall.EDQUOT), advice("your quota on that file system is used up; make room, then run the same command again: stored objects are reused")},
		{"no_space", oneOf(syscall.EFBIG), advice("a limit on the size of files (ulimit -f) is in the way; raise it, then run the same command again")},
		{"read_only", oneOf(syscall.EROFS), advice("that file system is read-only; mount it writable, or name another place with --data")},
		{"address", oneOf(syscall.EADDRINUSE), advice("another program is listening there; choose other addresses with --listen and --admin")},
		{"address", oneOf(syscall.EADDRNOTAVAIL), advice("this machine has no such address; choose another with --listen and --admin")},
		{"permission", isListening, advice("ports below 1024 need a privilege: listen on a higher port, or allow it with CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)")},
		{"permission", oneOf(fs.ErrPermission), advice("run it as the user who owns that place, or name another one with --data")},
	}
}

// causesOnTheWay are those of connections to a registry or a store, and of the server
// there.
func causesOnTheWay() []cause {
	return []cause{
		{"refused", oneOf(syscall.ECONNREFUSED), func(err error) string {
			return fmt.Sprintf("nothing listens there: start %s, or correct %s", placeOf(err).what, placeOf(err).flag)
		}},
		{"unknown_host", isA[*net.DNSError], func(err error) string {
			return fmt.Sprintf("check the spelling of the host in %s, and this machine's DNS", placeOf(err).flag)
		}},
		{"no_route", oneOf(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNRESET), func(err error) string {
			return fmt.Sprintf("check the network between this machine and %s, and firewalls", placeOf(err).what)
		}},
		{"tls", isA[x509.UnknownAuthorityError], advice("name the authority that signed its certificate with --registry-ca, or install it on this machine")},
		{"tls", isA[x509.HostnameError], func(err error) string {
			return fmt.Sprintf("use a name in %s that its certificate has, or give it a certificate for this name", placeOf(err).flag)
		}},
		{"tls", isTLS, func(err error) string {
			return fmt.Sprintf("check whether %s speaks TLS there, and its certificate and yours", placeOf(err).what)
		}},
		{"denied", oneOf(holdfast.ErrDenied, kv.ErrDenied), func(err error) string { return placeOf(err).login }},
		{"timeout", isTimeout, func(err error) string {
			return fmt.Sprintf("check that %s is running and that no firewall blocks it, then run the same command again", placeOf(err).what)
		}},
	}
}

// causesOfState are those of stored data, and of concurrent changes.
func causesOfState() []cause {
	return []cause{
		{"lease_lost", oneOf(holdfast.ErrLeaseLost), advice("the registry was unreachable for too long; run publish again: stored objects are reused")},
		{"clock", oneOf(registry.ErrClock), advice("correct the wrong clock with NTP, then run the same command again; if this machine's clock is right, --trust-clock overrides the check")},
		{"wrong_store", oneOf(registry.ErrOtherStore), nil},
		{"not_ready", oneOf(errNotReady), nil},
		{"no_registry", oneOf(errNoRegistry), nil},
		{"corrupt", oneOf(holdfast.ErrCorrupt), advice("holdfast verify lists all damage")},
		{"clash", oneOf(holdfast.ErrClash), nil},
		{"taken_down", oneOf(holdfast.ErrTakenDown), advice("holdfast takedown --list shows who took them down and why; holdfast takedown --allow DIGEST permits publishing them again")},
		{"gone", oneOf(holdfast.ErrGone), nil},
		{"not_found", func(err error) bool { return isA[missingError](err) || errors.Is(err, holdfast.ErrNotFound) }, nil},
		{"exists", oneOf(holdfast.ErrExists), nil},
		{"conflict", oneOf(holdfast.ErrConflict), nil},
		{"invalid", oneOf(holdfast.ErrInvalid), nil},
		{"unavailable", oneOf(holdfast.ErrUnavailable), func(err error) string {
			return fmt.Sprintf("check %s, then run the same command again", placeOf(err).what)
		}},
	}
}

func advice(text string) func(error) string { return func(error) string { return text } }

func oneOf(targets ...error) func(error) bool {
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
	}
}

func isA[E error](err error) bool { return errors.As(err, new(E)) }

// isListening reports whether an address could not be listened on for lack of a right.
func isListening(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "listen" && errors.Is(err, fs.ErrPermission)
}

func isTLS(err error) bool {
	return isA[*tls.CertificateVerificationError](err) || isA[x509.CertificateInvalidError](err) ||
		isA[tls.RecordHeaderError](err) || isA[tls.AlertError](err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// place is a server that a command uses, for hints.
type place struct {
	what  string // "the store"
	flag  string // that names it
	where string // the flag's value
	login string // what to do when it refuses the credentials
}

// placeError is an error of one place.
type placeError struct {
	error
	place place
}

func (e placeError) Unwrap() error { return e.error }

// atPlace notes which place err is of; nil stays nil.
func atPlace(err error, p place) error {
	if err == nil {
		return nil
	}
	return placeError{err, p}
}

// placeOf returns the place that err is about, if that was recorded.
func placeOf(err error) place {
	var p placeError
	if errors.As(err, &p) {
		return p.place
	}
	return place{what: "the registry or the store", flag: "--registry or --store", login: "check the credentials of the registry and of the store"}
}
