package control

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// signTimeout limits the time that a TLS handshake waits for a signature.
const signTimeout = 5 * time.Second

// hashes are the hashes of TLS signatures (RFC 8446, section 4.2.3), by their names in a [signRequest]. Ed25519 has
// none. SHA-1 is not among them.
var hashes = map[string]crypto.Hash{"": 0, "SHA-256": crypto.SHA256, "SHA-384": crypto.SHA384, "SHA-512": crypto.SHA512}

// sign signs for a TLS handshake of a gateway, with a key that stays in the service. It also does so if keys do not
// stay: a gateway may have read the arrangement before the setting was changed, or from a replica with another setting.
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
		opts, err := in.options(key)
		if err != nil {
			return out, err
		}
		if len(in.Message) > mostSigned || !isClientVerify(in.Message, id.Certificate.Certificate[0]) {
			return out, tenancy.Errorf(tenancy.ErrInvalid, "the message to be signed is not that of a TLS client with the "+
				"certificate of generation %d", in.Generation)
		}
		signatures.Inc()
		out.Signature, err = crypto.SignMessage(key, rand.Reader, in.Message, opts)
		return out, err
	}
	return out, tenancy.Errorf(tenancy.ErrNotFound, "%s/%s has no generation %d that can be presented", in.Tenant,
		in.Arrangement, in.Generation)
}

// options returns the options of a TLS signature with a key. The error is [tenancy.ErrInvalid].
func (in signRequest) options(key crypto.Signer) (crypto.SignerOpts, error) {
	hash, known := hashes[in.Hash]
	_, pure := key.Public().(ed25519.PublicKey)
	_, isRSA := key.Public().(*rsa.PublicKey)
	switch {
	case !known, pure != (hash == 0):
		return nil, tenancy.Errorf(tenancy.ErrInvalid, "the key of generation %d does not sign with the hash %q",
			in.Generation, in.Hash)
	case in.PSS && !isRSA:
		return nil, tenancy.Errorf(tenancy.ErrInvalid, "the key of generation %d is not an RSA key", in.Generation)
	case in.PSS:
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}, nil
	}
	return hash, nil
}

// A remoteKey is a private key that stays with the service. It implements [crypto.MessageSigner] for TLS handshakes.
type remoteKey struct {
	client *Client
	leaf   *x509.Certificate
	of     signRequest // names the key
	copy   keyCopy
}

func newRemoteKey(c *Client, s standing.Standing, id sealedIdentity) (*remoteKey, error) {
	if len(id.Chain) == 0 {
		return nil, fmt.Errorf("generation %d has no certificate", id.Generation)
	}
	leaf, err := x509.ParseCertificate(id.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate of generation %d cannot be read: %w", id.Generation, err)
	}
	of := signRequest{Tenant: s.Tenant.Name, Arrangement: s.Arrangement.Name, Generation: id.Generation}
	return &remoteKey{c, leaf, of, keyCopy{sealed: id, arrangementID: s.Arrangement.ID}}, nil
}

// Public implements [crypto.Signer].
func (k *remoteKey) Public() crypto.PublicKey { return k.leaf.PublicKey }

// Sign implements [crypto.Signer]. crypto/tls calls SignMessage instead, because the service signs no digest whose
// origin it cannot see.
func (k *remoteKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, standing.ErrNoSignature
}

// SignMessage implements [crypto.MessageSigner]. It signs with the copy of the key, if there is one, while the service
// does not answer. The error is a [standing.ErrNoSignature], because crypto/tls keeps only its text.
func (k *remoteKey) SignMessage(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.request(message, opts)
	if errors.Is(err, gateway.ErrAway) {
		if key, ok := k.copy.open(k.client); ok {
			signature, err = crypto.SignMessage(key, random, message, opts)
		}
	}
	if err != nil {
		k.client.log.Warn("the service did not sign a TLS handshake", "arrangement", k.of.Tenant+"/"+k.of.Arrangement,
			"generation", k.of.Generation, "error", err)
		return nil, standing.ErrNoSignature
	}
	return signature, nil
}

// request returns a signature of the service. It verifies the signature: a receiver that got one of another key would
// refuse it.
func (k *remoteKey) request(message []byte, opts crypto.SignerOpts) ([]byte, error) {
	in := k.of
	in.Message = message
	if hash := opts.HashFunc(); hash != 0 {
		in.Hash = hash.String()
	}
	_, in.PSS = opts.(*rsa.PSSOptions)
	timeout := signTimeout
	if k.copy.mayBeUsed(k.client) {
		if k.client.reached.isAway(k.client.now()) {
			return nil, gateway.ErrAway
		}
		timeout = copyPatience
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	out, err := call[signAnswer](ctx, k.client, "sign", in)
	if errors.Is(err, gateway.ErrAway) {
		k.client.reached.failed.Store(new(k.client.now()))
	}
	if err == nil {
		err = k.leaf.CheckSignature(in.algorithm(k.leaf.PublicKeyAlgorithm), message, out.Signature)
	}
	return out.Signature, err
}

// algorithms are the algorithms of signatures, by hash and by kind of key; the last one is RSASSA-PSS.
var algorithms = map[string][3]x509.SignatureAlgorithm{
	"SHA-256": {x509.ECDSAWithSHA256, x509.SHA256WithRSA, x509.SHA256WithRSAPSS},
	"SHA-384": {x509.ECDSAWithSHA384, x509.SHA384WithRSA, x509.SHA384WithRSAPSS},
	"SHA-512": {x509.ECDSAWithSHA512, x509.SHA512WithRSA, x509.SHA512WithRSAPSS},
}

func (in signRequest) algorithm(key x509.PublicKeyAlgorithm) x509.SignatureAlgorithm {
	switch {
	case key == x509.Ed25519:
		return x509.PureEd25519
	case in.PSS:
		return algorithms[in.Hash][2]
	case key == x509.RSA:
		return algorithms[in.Hash][1]
	}
	return algorithms[in.Hash][0]
}
