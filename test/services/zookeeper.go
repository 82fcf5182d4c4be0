package services

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Of Debian's package zookeeper and what that depends on.
const (
	zkJar = "/usr/share/java/zookeeper.jar"
	zkLog = "/usr/share/java/slf4j-simple.jar"
	zkCli = "/usr/share/zookeeper/bin/zkCli.sh"
	zkTLS = "/usr/share/java/netty-codec.jar:/usr/share/java/netty-handler.jar" // zkJar's manifest lacks them
)

// ZooKeeperTick is the servers' tick: they grant session timeouts of 2 ticks to two
// minutes, and end a session up to one tick late.
const ZooKeeperTick = 500 * time.Millisecond

// ZooKeeper is a real ZooKeeper ensemble on loopback.
type ZooKeeper struct {
	Addresses []string // host:port of each server, for clients
	Secure    string   // the same for clients with TLS, of the first server
	PKI       *PKI     // nil without TLS
	servers   []*daemon
	data      []string // directory of each server
}

// ZooKeeperOptions of StartZooKeeper. The zero value is one server without TLS.
type ZooKeeperOptions struct {
	Servers int
	TLS     bool // the first server has one more port, for TLS
}

// StartZooKeeper starts an ensemble; it ends with the test.
func StartZooKeeper(t testing.TB, o ZooKeeperOptions) *ZooKeeper {
	t.Helper()
	for _, file := range []string{zkJar, zkLog, zkCli} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("ZooKeeper is not installed (%v); run `make install-deps`", err)
		}
	}
	z := &ZooKeeper{}
	var members strings.Builder
	for i := range max(1, o.Servers) {
		z.Addresses = append(z.Addresses, "127.0.0.1:"+loopbackPort(t))
		if o.Servers > 1 {
			fmt.Fprintf(&members, "server.%d=127.0.0.1:%s:%s;%s\n", i+1, loopbackPort(t), loopbackPort(t), z.Addresses[i])
		}
	}
	for i := range z.Addresses {
		z.servers = append(z.servers, z.server(t, i, members.String(), o))
	}
	for _, s := range z.servers {
		s.run()
	}
	z.Await()
	return z
}

// server describes one server. Without forceSync a commit does not wait for the
// disk: nothing here cuts the power.
func (z *ZooKeeper) server(t testing.TB, i int, members string, o ZooKeeperOptions) *daemon {
	t.Helper()
	dir := t.TempDir()
	z.data = append(z.data, dir)
	config := fmt.Sprintf("tickTime=%d\ndataDir=%s\nadmin.enableServer=false\n4lw.commands.whitelist=*\n"+
		"maxClientCnxns=0\nforceSync=no\ninitLimit=20\nsyncLimit=4\nmaxSessionTimeout=120000\n", ZooKeeperTick.Milliseconds(), dir)
	if members == "" {
		host, port, _ := net.SplitHostPort(z.Addresses[i]) // of our own making
		members = fmt.Sprintf("clientPort=%s\nclientPortAddress=%s\n", port, host)
	}
	args := []string{
		"-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
		// A member that is paused takes no connections once its backlog is full. While
		// the others try, and wait ever longer to try again (for a minute at last), they
		// elect nobody.
		"-Dzookeeper.cnxTimeout=1000", "-Dzookeeper.fastleader.maxNotificationInterval=1000",
	}
	if o.TLS && i == 0 {
		config += z.secure(t, dir)
		args = append(args, "-Dzookeeper.serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory")
	}
	file := filepath.Join(dir, "zoo.cfg")
	for name, text := range map[string]string{file: config + members, filepath.Join(dir, "myid"): fmt.Sprint(i + 1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args = append(args, "-cp", zkJar+":"+zkLog+":"+zkTLS, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
	return newDaemon(t, fmt.Sprintf("zookeeper-%d", i), tool(t, "java"), args...)
}

// secure adds a port for TLS. Clients need no certificate.
func (z *ZooKeeper) secure(t testing.TB, dir string) string {
	t.Helper()
	z.PKI = NewPKI(t)
	port := loopbackPort(t)
	z.Secure = "127.0.0.1:" + port
	store := filepath.Join(dir, "server.pem")
	var both []byte
	for _, name := range []string{z.PKI.ServerKey, z.PKI.ServerCert} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(store, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("secureClientPort=%s\nsecureClientPortAddress=127.0.0.1\n"+
		"ssl.clientAuth=none\nssl.keyStore.location=%s\nssl.keyStore.type=PEM\n", port, store)
}

// Kill ends a server as a crash would; Restart starts it again.
func (z *ZooKeeper) Kill(server int) { z.servers[server].kill() }

// Restart starts a server after Kill, with its data. It serves a while later:
// see Await.
func (z *ZooKeeper) Restart(server int) {
	z.mendLogs(server)
	z.servers[server].run()
}

// logHeader is how many bytes a log of transactions begins with.
const logHeader = 16

// mendLogs does what an operator has to do: a server that was killed just when it
// had made a new log, and had written nothing to it, does not start with it.
func (z *ZooKeeper) mendLogs(server int) {
	t := z.servers[server].t
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(z.data[server], "version-2", "log.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, log := range logs {
		info, err := os.Stat(log)
		if err == nil && info.Size() < logHeader {
			err = os.Remove(log)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Pause stops a server without closing anything; Resume lets it go on.
func (z *ZooKeeper) Pause(server int) { z.servers[server].pause() }

// Resume is the opposite of Pause.
func (z *ZooKeeper) Resume(server int) { z.servers[server].resume() }

// Await waits until all servers serve.
func (z *ZooKeeper) Await() {
	for i, s := range z.servers {
		s.await(func() error {
			if err := s.cmd.Process.Signal(syscall.Signal(0)); err != nil {
				return err
			}
			_, err := z.mode(i)
			return err
		})
	}
}

// Leader waits until a server leads, and returns it.
func (z *ZooKeeper) Leader() int {
	leader := -1
	z.servers[0].await(func() error {
		for i := range z.servers {
			if mode, _ := z.mode(i); mode == "leader" {
				leader = i
				return nil
			}
		}
		return fmt.Errorf("no server leads")
	})
	return leader
}

// mode asks a server what it is: standalone, leader or follower.
func (z *ZooKeeper) mode(server int) (string, error) {
	conn, err := net.DialTimeout("tcp", z.Addresses[server], time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", err
	}
	if _, err := conn.Write([]byte("srvr")); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		return "", err
	}
	lines := strings.Split(string(answer), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Mode: ") })
	if i < 0 {
		return "", fmt.Errorf("it says %q", answer)
	}
	return strings.TrimPrefix(lines[i], "Mode: "), nil
}

// CLI types commands into zkCli.sh, the client that comes with ZooKeeper, and
// returns what it says.
func (z *ZooKeeper) CLI(t testing.TB, commands ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), zkCli, "-server", z.Addresses[0])
	cmd.Env = append(os.Environ(), "CLIENT_JVMFLAGS=-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dzookeeper.log.level=WARN")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("zkCli.sh: %v\n%s", err, out)
	}
	return string(out)
}
