// Package compress makes the encoded forms of files (brotli, gzip, zstd) at the
// start of a program whose build has none beside its files. It is apart from
// package asset so that programs that have no use for it link no encoders.
package compress

import (
	"github.com/holdfast-web/holdfast/asset"
	"github.com/holdfast-web/holdfast/internal/coding"
)

// Effort says how much time smaller bytes may take.
type Effort = coding.Effort

// The efforts.
const (
	Best = coding.Best // brotli 11, gzip 9: about half a megabyte a second
	Fast = coding.Fast // about fifteen times as fast, 4 to 16 % more bytes
)

// Encoder encodes files; it may be used concurrently.
type Encoder struct{ *coding.Encoder }

var _ asset.Encoder = (*Encoder)(nil)

// New returns an encoder for asset.Options. Close it when the assets are open: it
// frees memory.
func New(e Effort) (*Encoder, error) {
	encoder, err := coding.NewEncoder(e)
	if err != nil {
		return nil, err
	}
	return &Encoder{encoder}, nil
}
