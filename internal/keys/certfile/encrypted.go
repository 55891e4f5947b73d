package certfile

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// maxIterations limits the work of opening an encrypted key. OpenSSL writes 2,048, and OWASP recommends 600,000.
const maxIterations = 10_000_000

// The structures of RFC 8018 (PKCS #5 2.1) and RFC 5958.
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct{ Derivation, Cipher pkix.AlgorithmIdentifier }
	pbkdf2Input struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		Function   pkix.AlgorithmIdentifier `asn1:"optional"`
	}
)

var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

	oidHMACWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidAES256CBC      = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}

	hashes = map[string]func() hash.Hash{
		"":                    sha1.New, // the default of RFC 8018
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}
	ciphers = map[string]struct {
		keyLength int
		open      func([]byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

var errKeyPassword = errors.New("the private key cannot be opened with that password")

// privateKey reads the private key of a PEM block. An encrypted one is opened with the password.
func privateKey(b *pem.Block, password string) (crypto.Signer, error) {
	der := b.Bytes
	var err error
	switch {
	case b.Type == "ENCRYPTED PRIVATE KEY":
		if password == "" {
			return nil, errors.New("the private key is encrypted: state the password of the file")
		}
		if der, err = decryptPKCS8(der, password); err != nil {
			return nil, err
		}
	case b.Headers["DEK-Info"] != "":
		if password == "" {
			return nil, errors.New("the private key is encrypted: state the password of the file")
		}
		// Administrators have such files (RFC 1423), as OpenSSL wrote them. They are only read.
		//lint:ignore SA1019 the weakness of the encryption is that of the file
		der, err = x509.DecryptPEMBlock(b, []byte(password))
		if err != nil || parseKey(der) == nil { // with 1 of 256 wrong passwords, the padding is right by chance
			return nil, errKeyPassword
		}
	}
	if key := parseKey(der); key != nil {
		return key, nil
	}
	return nil, errors.New("the private key cannot be read: it is damaged, or of a kind that cannot sign")
}

// decryptPKCS8 opens a key that is encrypted with PBES2.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var outer encryptedKey
	var p pbes2Params
	var in pbkdf2Input
	var iv []byte
	if _, err := asn1.Unmarshal(der, &outer); err != nil {
		return nil, errors.New("the encrypted private key is malformed")
	}
	const convert = "convert it with \"openssl pkcs8 -topk8 -v2 aes-256-cbc\""
	if !outer.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("the private key is encrypted with %s, which is not supported: %s", outer.Algorithm.Algorithm,
			convert)
	}
	if _, err := asn1.Unmarshal(outer.Algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, errors.New("the encrypted private key is malformed")
	}
	c, ok := ciphers[p.Cipher.Algorithm.String()]
	if !ok || !p.Derivation.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("the private key is encrypted with %s and %s, which is not supported: %s",
			p.Derivation.Algorithm, p.Cipher.Algorithm, convert)
	}
	_, err1 := asn1.Unmarshal(p.Derivation.Parameters.FullBytes, &in)
	_, err2 := asn1.Unmarshal(p.Cipher.Parameters.FullBytes, &iv)
	h, known := hashes[in.Function.Algorithm.String()]
	if err1 != nil || err2 != nil || !known || in.Iterations < 1 || in.Iterations > maxIterations {
		return nil, errors.New("the encrypted private key has parameters that are not supported: " + convert)
	}
	key, err := pbkdf2.Key(h, password, in.Salt, in.Iterations, c.keyLength)
	if err != nil {
		return nil, errKeyPassword
	}
	block, err := c.open(key)
	if err != nil || len(iv) != block.BlockSize() || len(outer.Data) == 0 || len(outer.Data)%block.BlockSize() != 0 {
		return nil, errors.New("the encrypted private key is malformed")
	}
	out := make([]byte, len(outer.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, outer.Data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > block.BlockSize() || parseKey(out[:len(out)-pad]) == nil {
		return nil, errKeyPassword
	}
	return out[:len(out)-pad], nil
}

// exportIterations is the number that OWASP recommends for PBKDF2 with SHA-256.
const exportIterations = 600_000

// EncryptKey returns a private key as PEM that a passphrase opens: PKCS#8 with PBES2 (RFC 8018), which OpenSSL and
// [ReadPair] read.
func EncryptKey(key crypto.Signer, passphrase string) ([]byte, error) {
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, errors.New("the private key cannot be encoded")
	}
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	rand.Read(salt)
	rand.Read(iv)
	secret, err := pbkdf2.Key(sha256.New, passphrase, salt, exportIterations, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	pad := block.BlockSize() - len(plain)%block.BlockSize()
	data := append(plain, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	null := asn1.RawValue{Tag: asn1.TagNull}
	input, err1 := asn1.Marshal(pbkdf2Input{Salt: salt, Iterations: exportIterations,
		Function: pkix.AlgorithmIdentifier{Algorithm: oidHMACWithSHA256, Parameters: null}})
	vector, err2 := asn1.Marshal(iv)
	params, err3 := asn1.Marshal(pbes2Params{
		Derivation: pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: input}},
		Cipher:     pkix.AlgorithmIdentifier{Algorithm: oidAES256CBC, Parameters: asn1.RawValue{FullBytes: vector}}})
	der, err4 := asn1.Marshal(encryptedKey{Data: data,
		Algorithm: pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: params}}})
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), errors.Join(err1, err2, err3, err4)
}

// parseKey returns the private key in PKCS#8, SEC 1 or PKCS#1; nil if it is none of them.
func parseKey(der []byte) crypto.Signer {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		signer, _ := k.(crypto.Signer)
		return signer
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k
	}
	return nil
}
