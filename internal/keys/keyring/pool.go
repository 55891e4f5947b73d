package keyring

import (
	"context"
	"crypto"

	"github.com/perennial-pki/perennial/tenancy"
)

// A Pool holds RSA keys that were generated in advance, because they take about a thousand times longer than the
// others. Keys are kept in memory only, and each is handed out once.
type Pool struct {
	ready map[tenancy.KeyType]chan crypto.Signer
}

// NewPool returns a pool for at most size keys of each RSA type. It is empty until [Pool.Fill] runs.
func NewPool(size int) *Pool {
	return &Pool{map[tenancy.KeyType]chan crypto.Signer{
		tenancy.RSA2048: make(chan crypto.Signer, size),
		tenancy.RSA3072: make(chan crypto.Signer, size),
		tenancy.RSA4096: make(chan crypto.Signer, size),
	}}
}

// Fill generates keys of the type until the context ends, and blocks while the pool is full. For types that are fast to
// generate, it returns at once.
func (p *Pool) Fill(ctx context.Context, kind tenancy.KeyType) error {
	ready, ok := p.ready[kind]
	if !ok {
		return nil
	}
	for {
		key, err := Generate(kind)
		if err != nil {
			return err
		}
		select {
		case ready <- key:
		case <-ctx.Done():
			return nil
		}
	}
}

// Take returns a key from the pool. If none is ready, it generates one.
func (p *Pool) Take(kind tenancy.KeyType) (crypto.Signer, error) {
	select {
	case key := <-p.ready[kind]: // a nil channel is never ready
		return key, nil
	default:
		return Generate(kind)
	}
}
