package kms

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// awsSigns names the permissions that the principal needs for a key that signs.
const awsSigns = "use kms:GetPublicKey and kms:Sign with the key"

// An awsSigner is an asymmetric key of AWS KMS. AWS does not rotate such keys: its ARN names one key forever.
type awsSigner struct {
	*awsKey
	logins login[awsLogin]
}

// openAWSSigner opens aws-kms://ARN.
func openAWSSigner(name string, http connect) (keyring.Signatory, error) {
	opened, err := openAWS(name, http)
	if err != nil {
		return nil, err
	}
	s := &awsSigner{awsKey: opened.(*awsKey)}
	s.logins.get = s.login
	return s, nil
}

// call calls the service with credentials that are at most a minute old.
func (s *awsSigner) call(ctx context.Context, do func(*awssdk.Client) error) error {
	l, err := s.logins.use(ctx)
	if err != nil {
		return err
	}
	if err := do(l.client); err != nil {
		s.logins.forget()
		return s.failure(err, l.secrets, awsSigns)
	}
	return nil
}

// Key implements [keyring.Signatory]. An alias is replaced by the ARN of its key.
func (s *awsSigner) Key(ctx context.Context) (string, crypto.PublicKey, error) {
	var out *awssdk.GetPublicKeyOutput
	err := s.call(ctx, func(c *awssdk.Client) (err error) {
		out, err = c.GetPublicKey(ctx, &awssdk.GetPublicKeyInput{KeyId: &s.arn})
		return err
	})
	if err != nil {
		return "", nil, err
	}
	if out.KeyUsage != types.KeyUsageTypeSignVerify || out.KeyId == nil || !awsName.MatchString(*out.KeyId) ||
		strings.Contains(*out.KeyId, ":alias/") {
		return "", nil, fmt.Errorf("the key %s does not sign: create an asymmetric key with the usage SIGN_VERIFY", s.arn)
	}
	public, err := x509.ParsePKIXPublicKey(out.PublicKey)
	if err != nil {
		return "", nil, errors.New("the public key of AWS KMS cannot be read")
	}
	return "aws-kms://" + *out.KeyId, public, nil
}

// awsAlgorithms are the names of AWS for the algorithms.
var awsAlgorithms = map[crypto.Hash][2]types.SigningAlgorithmSpec{
	crypto.SHA256: {types.SigningAlgorithmSpecEcdsaSha256, types.SigningAlgorithmSpecRsassaPkcs1V15Sha256},
	crypto.SHA384: {types.SigningAlgorithmSpecEcdsaSha384, types.SigningAlgorithmSpecRsassaPkcs1V15Sha384},
	crypto.SHA512: {types.SigningAlgorithmSpecEcdsaSha512, types.SigningAlgorithmSpecRsassaPkcs1V15Sha512},
}

// Sign implements [keyring.Signatory].
func (s *awsSigner) Sign(ctx context.Context, public crypto.PublicKey, digest []byte, hash crypto.Hash) ([]byte,
	error) {
	algorithm := awsAlgorithms[hash][0]
	if _, ok := public.(*rsa.PublicKey); ok {
		algorithm = awsAlgorithms[hash][1]
	}
	var out *awssdk.SignOutput
	err := s.call(ctx, func(c *awssdk.Client) (err error) {
		out, err = c.Sign(ctx, &awssdk.SignInput{KeyId: &s.arn, Message: digest, MessageType: types.MessageTypeDigest,
			SigningAlgorithm: algorithm})
		return err
	})
	if err != nil {
		return nil, err
	}
	return out.Signature, nil
}
