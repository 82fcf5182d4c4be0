package registry

import (
	"bufio"
	"context"
	"io"
)

const workerEnv = "HOLDFAST_REGISTRY_WORKER"

func work(ctx context.Context, path string, in *bufio.Reader, out io.Writer) error { return nil }
