package services

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// Etcd is a real cluster of etcd servers, on loopback unless the options say otherwise.
type Etcd struct {
	Endpoints []string // host:port of each member
	PKI       *PKI     // nil without TLS
	members   []*daemon
	http      *http.Client
}

// EtcdOptions of StartEtcd. The zero value is one member without TLS.
type EtcdOptions struct {
	Members int
	Host    string // the address to listen on; 127.0.0.1 by default
	TLS     bool
	Certs   bool     // with TLS: clients must show a certificate
	Flags   []string // more flags of each member
}

// StartEtcd starts a cluster; it ends with the test. Elections take half a
// second at most, and leases of two seconds are granted as they are.
func StartEtcd(t testing.TB, o EtcdOptions) *Etcd {
	t.Helper()
	e := &Etcd{http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: readiness}}
	scheme := "http"
	flags := []string{"--heartbeat-interval=50", "--election-timeout=500", "--log-level=warn", "--logger=zap"}
	if o.TLS {
		e.PKI = NewPKI(t)
		e.http.Transport.(*http.Transport).TLSClientConfig = e.PKI.ClientTLS()
		scheme = "https"
		flags = append(flags, "--cert-file="+e.PKI.ServerCert, "--key-file="+e.PKI.ServerKey,
			"--trusted-ca-file="+e.PKI.CA, fmt.Sprintf("--client-cert-auth=%t", o.Certs))
	}
	var peers, cluster []string
	for i := range max(1, o.Members) {
		e.Endpoints = append(e.Endpoints, net.JoinHostPort(cmp.Or(o.Host, "127.0.0.1"), loopbackPort(t)))
		peers = append(peers, "http://127.0.0.1:"+loopbackPort(t))
		cluster = append(cluster, fmt.Sprintf("m%d=%s", i, peers[i]))
	}
	path := tool(t, "etcd")
	for i, peer := range peers {
		client := scheme + "://" + e.Endpoints[i]
		e.members = append(e.members, newDaemon(t, fmt.Sprintf("etcd-%d", i), path, append([]string{
			fmt.Sprintf("--name=m%d", i), "--data-dir=" + t.TempDir(),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + strings.Join(cluster, ","), "--initial-cluster-state=new",
		}, append(flags, o.Flags...)...)...))
	}
	for _, m := range e.members {
		m.run()
	}
	for i := range e.members {
		e.awaitHealth(i)
	}
	return e
}

// Kill ends a member as a crash would; Restart starts it again.
func (e *Etcd) Kill(member int) { e.members[member].kill() }

// Pause stops a member without closing anything; Resume lets it go on.
func (e *Etcd) Pause(member int) { e.members[member].pause() }

// Resume is the opposite of Pause.
func (e *Etcd) Resume(member int) { e.members[member].resume() }

// Restart starts a member after Kill, and waits until it sees a leader.
func (e *Etcd) Restart(member int) {
	e.members[member].run()
	e.awaitHealth(member)
}

func (e *Etcd) awaitHealth(member int) {
	e.members[member].await(func() error {
		resp, err := e.http.Get(e.url(member) + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s, %w", resp.Status, body, err)
		}
		return nil
	})
}

func (e *Etcd) url(member int) string {
	if e.PKI != nil {
		return "https://" + e.Endpoints[member]
	}
	return "http://" + e.Endpoints[member]
}

// Leader returns the number of the member that leads, or soon will. All must run.
func (e *Etcd) Leader(t testing.TB) (leader int) {
	t.Helper()
	e.members[0].await(func() error {
		for i := range e.members {
			if s := e.status(t, i); s.Header.MemberID == s.Leader {
				leader = i
				return nil
			}
		}
		return errors.New("no member leads")
	})
	return leader
}

type etcdStatus struct {
	Header struct {
		MemberID string `json:"member_id"`
	} `json:"header"`
	Leader string `json:"leader"`
}

func (e *Etcd) status(t testing.TB, member int) etcdStatus {
	t.Helper()
	var s etcdStatus
	if err := json.Unmarshal(e.Call(t, member, "maintenance/status", map[string]any{}), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// Call sends a request of the JSON gateway to a member, for instance
// "kv/compaction" {"revision": 7}, and returns the answer.
func (e *Etcd) Call(t testing.TB, member int, what string, request any) []byte {
	t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url(member)+"/v3/"+what, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		t.Fatalf("call %s of etcd: %v", what, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("call %s of etcd: %s: %s, %v", what, resp.Status, answer, err)
	}
	return answer
}

// Metric returns the sum of a member's counters whose text starts with name.
func (e *Etcd) Metric(t testing.TB, member int, name string) (sum float64) {
	t.Helper()
	resp, err := e.http.Get(e.url(member) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		text, value, _ := strings.Cut(lines.Text(), "} ")
		n, err := strconv.ParseFloat(value, 64)
		if strings.HasPrefix(text, name) && err == nil {
			sum += n
		}
	}
	return sum
}

// EnableAuth makes a user root, and one with the given name and password who may
// read, and write if it says so, the keys that start with prefix. Afterwards
// nothing can be called anonymously any more.
func (e *Etcd) EnableAuth(t testing.TB, name, password, prefix string, write bool) {
	t.Helper()
	const root = "root-password"
	permission := "READ"
	if write {
		permission = "READWRITE"
	}
	end := []byte(prefix)
	end[len(end)-1]++
	for _, call := range []struct {
		what    string
		request map[string]any
	}{
		{"auth/user/add", map[string]any{"name": "root", "password": root}},
		{"auth/role/add", map[string]any{"name": "root"}},
		{"auth/user/grant", map[string]any{"user": "root", "role": "root"}},
		{"auth/user/add", map[string]any{"name": name, "password": password}},
		{"auth/role/add", map[string]any{"name": name}},
		{"auth/role/grant", map[string]any{"name": name, "perm": map[string]any{
			"permType": permission, "key": base64.StdEncoding.EncodeToString([]byte(prefix)),
			"range_end": base64.StdEncoding.EncodeToString(end),
		}}},
		{"auth/user/grant", map[string]any{"user": name, "role": name}},
		{"auth/enable", map[string]any{}},
	} {
		e.Call(t, 0, call.what, call.request)
	}
}
