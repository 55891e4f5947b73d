package control

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// signTimeout limits the time that a TLS handshake waits for a signature.
	signTimeout = 5 * time.Second
	// mostSigned limits what an Ed25519 key signs. In TLS 1.2 that is all of the handshake (RFC 8422, section 5.8).
	mostSigned = 256 << 10
)

// hashes are the hashes of TLS signatures (RFC 8446, section 4.2.3), by their names in a [signRequest]. Ed25519 has
// none. SHA-1 is not among them.
var hashes = map[string]crypto.Hash{"": 0, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}

// sign signs for a TLS handshake of a gateway, with a key that stays here.
func (h Handler) sign(ctx context.Context, in signRequest) (out signAnswer, err error) {
	_, identities, err := h.Control.Standing(ctx, in.Tenant, in.Arrangement)
	if err != nil {
		return out, err
	}
	for _, id := range identities {
		key, ok := id.Certificate.PrivateKey.(crypto.Signer)
		if !ok || id.Generation != in.Generation {
			continue
		}
		if !h.KeysStay && !id.KeyStays {
			return out, tenancy.Errorf(tenancy.ErrRefused, "this service hands the key out, sealed, and does not sign")
		}
		opts, err := in.options(key)
		if err != nil {
			return out, err
		}
		signatures.Inc()
		out.Signature, err = key.Sign(rand.Reader, in.Digest, opts)
		return out, err
	}
	return out, tenancy.Errorf(tenancy.ErrNotFound, "%s/%s has no generation %d that can be presented", in.Tenant,
		in.Arrangement, in.Generation)
}

// options returns what a signature of TLS needs, for a key. The error is [tenancy.ErrInvalid].
func (in signRequest) options(key crypto.Signer) (crypto.SignerOpts, error) {
	hash, known := hashes[in.Hash]
	_, pure := key.Public().(ed25519.PublicKey)
	_, isRSA := key.Public().(*rsa.PublicKey)
	switch {
	case !known, pure != (hash == 0):
		return nil, tenancy.Errorf(tenancy.ErrInvalid, "the key of generation %d does not sign with the hash %q",
			in.Generation, in.Hash)
	case pure && len(in.Digest) > mostSigned, !pure && len(in.Digest) != hash.Size():
		return nil, tenancy.Errorf(tenancy.ErrInvalid, "invalid digest of %d bytes for the hash %q", len(in.Digest), in.Hash)
	case in.PSS && !isRSA:
		return nil, tenancy.Errorf(tenancy.ErrInvalid, "the key of generation %d is not an RSA key", in.Generation)
	case in.PSS:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}, nil
	}
	return hash, nil
}

// A remoteKey is a private key that stays with the service. It implements [crypto.Signer] for TLS handshakes.
type remoteKey struct {
	client *Client
	public crypto.PublicKey
	of     signRequest // names the key
}

func newRemoteKey(c *Client, s standing.Standing, id sealedIdentity) (*remoteKey, error) {
	if len(id.Chain) == 0 {
		return nil, fmt.Errorf("generation %d has no certificate", id.Generation)
	}
	leaf, err := x509.ParseCertificate(id.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate of generation %d cannot be read: %w", id.Generation, err)
	}
	return &remoteKey{c, leaf.PublicKey, signRequest{Tenant: s.Tenant.Name, Arrangement: s.Arrangement.Name,
		Generation: id.Generation}}, nil
}

// Public implements [crypto.Signer].
func (k *remoteKey) Public() crypto.PublicKey { return k.public }

// Sign implements [crypto.Signer]. The error is a [standing.ErrNoSignature], because crypto/tls keeps its text alone.
func (k *remoteKey) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	in := k.of
	in.Digest = digest
	if hash := opts.HashFunc(); hash != 0 {
		in.Hash = hash.String()
	}
	_, in.PSS = opts.(*rsa.PSSOptions)
	ctx, cancel := context.WithTimeout(context.Background(), signTimeout)
	defer cancel()
	out, err := call[signAnswer](ctx, k.client, "sign", in)
	if err != nil {
		k.client.log.Warn("the service did not sign a TLS handshake", "arrangement", in.Tenant+"/"+in.Arrangement,
			"generation", in.Generation, "error", err)
		return nil, standing.ErrNoSignature
	}
	return out.Signature, nil
}
