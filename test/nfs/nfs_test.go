package nfs_test

import (
	"os"
	"testing"
	"time"

	"github.com/holdfast-web/holdfast/test/program"
	"github.com/holdfast-web/holdfast/test/services"
)

func TestMain(m *testing.M) { os.Exit(services.Isolate(m, program.Main)) }

func TestSpike(t *testing.T) {
	start := time.Now()
	server := services.StartNFS(t)
	guests := services.StartGuests(t, "node", "publisher")
	t.Log(time.Since(start))
	for _, g := range guests {
		g.Mount(server.Mount("/run/store", g, "hard", "timeo=20", "retrans=2"))
		r, err := g.Run(services.Program{Args: []string{"sh", "-c", "uname -a; grep nfs /proc/mounts; echo hello-$0 > /run/store/" + g.Name + "; ls -la /run/store; id"}}, time.Minute)
		t.Log(r, err)
	}
	t.Log(time.Since(start))
}
