package local

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	encoding "encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// A leaf is what distinguishes a tenant's certificate from the others of its authority.
type leaf struct {
	serial              *big.Int
	names               certfile.Names
	notBefore, notAfter time.Time // in UTC
	key                 crypto.PublicKey
	revocations         []string // addresses of the revocation list; none if it is not published
}

// mustVerify reports whether the signature of a certificate is verified before it is issued. A key elsewhere could be
// in any device, so each of its signatures is verified. Of those of keys in this process, it is one in 64, which finds
// a faulty machine. Verifying takes longer than the signature and a new key together. (crypto/rsa verifies each
// signature itself.)
func (a *authority) mustVerify(l leaf) bool {
	return a.KeyURI != "" || l.serial.TrailingZeroBits() >= 6 // serial numbers are random
}

// sign returns the certificate (DER). Its bytes are those of [x509.CreateCertificate], which takes twice as long: it
// encodes by reflection, and verifies each signature.
func (a *authority) sign(l leaf) ([]byte, error) {
	algorithm, hash, err := algorithmOf(a.key.Public())
	if err != nil {
		return nil, err
	}
	tbs, err := a.tbs(l, algorithm)
	if err != nil {
		return nil, err
	}
	signature, err := crypto.SignMessage(a.key, rand.Reader, tbs, hash)
	if err != nil {
		return nil, err
	}
	if a.mustVerify(l) {
		if err := a.cert.CheckSignature(algorithm.x509, tbs, signature); err != nil {
			return nil, fmt.Errorf("the key made a signature that is not valid: %w", err)
		}
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		algorithm.add(b)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// tbs returns the signed part of a certificate (RFC 5280, section 4.1). The order of the extensions is that of
// [x509.CreateCertificate], because there are receivers that compare more than they should.
func (a *authority) tbs(l leaf, algorithm algorithm) ([]byte, error) {
	key, id, err := encodedKey(l.key)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.Tag(0).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2) // version 3
		})
		b.AddASN1BigInt(l.serial)
		algorithm.add(b)
		b.AddBytes(a.cert.RawSubject)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, l.notBefore)
			addTime(b, l.notAfter)
		})
		b.AddBytes(l.names.Subject)
		b.AddBytes(key)
		b.AddASN1(asn1.Tag(3).Constructed().ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { a.addExtensions(b, l, id) })
		})
	})
	return b.Bytes()
}

func (a *authority) addExtensions(b *cryptobyte.Builder, l leaf, keyID []byte) {
	addExtension(b, 15, true, func(b *cryptobyte.Builder) { // key usage: digitalSignature
		b.AddBytes([]byte{byte(asn1.BIT_STRING), 2, 7, 0x80})
	})
	addExtension(b, 37, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}) // clientAuth
		})
	})
	addExtension(b, 19, true, func(b *cryptobyte.Builder) { // basic constraints: not a CA
		b.AddASN1(asn1.SEQUENCE, func(*cryptobyte.Builder) {})
	})
	addExtension(b, 14, false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(keyID) })
	if id := a.cert.SubjectKeyId; len(id) > 0 {
		addExtension(b, 35, false, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(id) })
			})
		})
	}
	if len(l.revocations) > 0 {
		addExtension(b, 31, false, func(b *cryptobyte.Builder) { addPoints(b, l.revocations) })
	}
	if len(l.names.SAN) > 0 {
		extension := l.names.SANExtension()
		addExtension(b, 17, extension.Critical, func(b *cryptobyte.Builder) { b.AddBytes(extension.Value) })
	}
}

// addPoints adds a list of CRL distribution points with one URI each (RFC 5280, section 4.2.1.13).
func addPoints(b *cryptobyte.Builder, uris []string) {
	fullName := []asn1.Tag{asn1.SEQUENCE, asn1.Tag(0).Constructed().ContextSpecific(),
		asn1.Tag(0).Constructed().ContextSpecific(), asn1.Tag(6).ContextSpecific()}
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, uri := range uris {
			addNested(b, fullName, []byte(uri))
		}
	})
}

// addNested adds one value inside the other, and content inside the last.
func addNested(b *cryptobyte.Builder, tags []asn1.Tag, content []byte) {
	if len(tags) == 0 {
		b.AddBytes(content)
		return
	}
	b.AddASN1(tags[0], func(b *cryptobyte.Builder) { addNested(b, tags[1:], content) })
}

// addExtension adds the extension 2.5.29.id.
func addExtension(b *cryptobyte.Builder, id byte, critical bool, value func(*cryptobyte.Builder)) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{byte(asn1.OBJECT_IDENTIFIER), 3, 0x55, 29, id})
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(asn1.OCTET_STRING, value)
	})
}

// addTime adds a time in the form that RFC 5280, section 4.1.2.5 requires for it.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// encodedKey returns the SubjectPublicKeyInfo (DER) of a key and its identifier: the leftmost 160 bits of the SHA-256
// of the public key (RFC 7093, section 2, method 1).
func encodedKey(key crypto.PublicKey) (info, id []byte, err error) {
	if p256, ok := key.(*ecdsa.PublicKey); ok && p256.Curve == elliptic.P256() { // nearly all, so without reflection
		point, err := p256.Bytes()
		if err != nil {
			return nil, nil, err
		}
		sum := sha256.Sum256(point)
		return append(slices.Clip(p256Info), point...), sum[:20], nil
	}
	if info, err = x509.MarshalPKIXPublicKey(key); err != nil {
		return nil, nil, err
	}
	var sequence, algorithm cryptobyte.String
	var bits []byte
	in := cryptobyte.String(info)
	if !in.ReadASN1(&sequence, asn1.SEQUENCE) || !sequence.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!sequence.ReadASN1BitStringAsBytes(&bits) {
		return nil, nil, errors.New("the public key cannot be read")
	}
	sum := sha256.Sum256(bits)
	return info, sum[:20], nil
}

// p256Info is the SubjectPublicKeyInfo of a key on the curve P-256 up to its point, which has 65 bytes (RFC 5480).
var p256Info = []byte{
	0x30, 89, 0x30, 19, // the whole, and the algorithm
	6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, // id-ecPublicKey
	6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, // secp256r1
	3, 66, 0, // a bit string without unused bits
}

// An algorithm is how an authority signs.
type algorithm struct {
	x509 x509.SignatureAlgorithm
	oid  encoding.ObjectIdentifier
	null bool // parameters are NULL, not absent (RFC 4055, section 5)
}

// add adds the AlgorithmIdentifier.
func (a algorithm) add(b *cryptobyte.Builder) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(a.oid)
		if a.null {
			b.AddASN1NULL()
		}
	})
}

var (
	ecdsaWithSHA256 = algorithm{x509.ECDSAWithSHA256, encoding.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, false}
	ecdsaWithSHA384 = algorithm{x509.ECDSAWithSHA384, encoding.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, false}
	ecdsaWithSHA512 = algorithm{x509.ECDSAWithSHA512, encoding.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, false}
	sha256WithRSA   = algorithm{x509.SHA256WithRSA, encoding.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, true}
	pureEd25519     = algorithm{x509.PureEd25519, encoding.ObjectIdentifier{1, 3, 101, 112}, false}
)

// algorithmOf returns how a key signs: as [x509.CreateCertificate] chooses.
func algorithmOf(key crypto.PublicKey) (algorithm, crypto.Hash, error) {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return sha256WithRSA, crypto.SHA256, nil
	case ed25519.PublicKey:
		return pureEd25519, 0, nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256():
			return ecdsaWithSHA256, crypto.SHA256, nil
		case elliptic.P384():
			return ecdsaWithSHA384, crypto.SHA384, nil
		case elliptic.P521():
			return ecdsaWithSHA512, crypto.SHA512, nil
		}
	}
	return algorithm{}, 0, fmt.Errorf("an authority cannot sign with a key of the type %T", key)
}
