package kms

import (
	"crypto/cipher"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

const awsRegion = "eu-central-1"

// startAWS starts an AWS KMS with two keys, and sets credentials.
func startAWS(t *testing.T) (*cloud, peer) {
	t.Helper()
	const session, account = "the-session-token", "arn:aws:kms:" + awsRegion + ":123456789012:key/"
	keys := map[string]cipher.AEAD{account + "a": newGCM(t), account + "b": newGCM(t)}
	mux := http.NewServeMux()
	fail := func(w http.ResponseWriter, kind, message string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
	}
	mux.HandleFunc("POST kms."+awsRegion+".amazonaws.com/", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			KeyID                     string `json:"KeyId"`
			Plaintext, CiphertextBlob []byte
			// of the operation Sign
			Message                       []byte
			MessageType, SigningAlgorithm string
		}
		err := json.NewDecoder(r.Body).Decode(&body)
		operation, _ := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
		gcm := keys[body.KeyID]
		switch {
		case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/") ||
			!strings.Contains(r.Header.Get("Authorization"), "/"+awsRegion+"/kms/aws4_request"):
			fail(w, "UnrecognizedClientException", "The security token included in the request is invalid.")
		case r.Header.Get("X-Amz-Security-Token") != session:
			fail(w, "ExpiredTokenException", "The security token is expired: "+r.Header.Get("X-Amz-Security-Token"))
		case err != nil:
			fail(w, "SerializationException", "")
		case operation == "GetPublicKey" || operation == "Sign":
			name := strings.TrimPrefix(strings.Replace(body.KeyID, ":alias/issuing", ":key/p256", 1), account)
			key, found := signingKeys()[name]
			if !found {
				fail(w, "NotFoundException", "Key '"+body.KeyID+"' does not exist")
				return
			}
			algorithm, hash := awsAlgorithm(key)
			if operation == "GetPublicKey" {
				der, err := x509.MarshalPKIXPublicKey(key.Public())
				check(t, err)
				answerJSON(w, map[string]any{"KeyId": account + name, "KeyUsage": "SIGN_VERIFY", "PublicKey": der,
					"SigningAlgorithms": []string{algorithm}})
				return
			}
			if body.MessageType != "DIGEST" || body.SigningAlgorithm != algorithm || len(body.Message) != hash.Size() {
				fail(w, "ValidationException", "Digest is invalid length for algorithm "+body.SigningAlgorithm+".")
				return
			}
			answerJSON(w, map[string]any{"KeyId": account + name, "SigningAlgorithm": algorithm,
				"Signature": signDigest(t, key, body.Message, hash)})
		case gcm == nil:
			fail(w, "NotFoundException", "Key '"+body.KeyID+"' does not exist")
		case operation == "Encrypt":
			answerJSON(w, map[string]any{"CiphertextBlob": gcm.Seal(nil, nil, body.Plaintext, nil), "KeyId": body.KeyID,
				"EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
		case operation == "Decrypt":
			if len(body.CiphertextBlob) == 0 {
				fail(w, "ValidationException", "1 validation error detected: Value at 'ciphertextBlob' failed to satisfy "+
					"constraint: Member must have length greater than or equal to 1")
				return
			}
			plain, err := gcm.Open(nil, nil, body.CiphertextBlob, nil)
			if err != nil {
				fail(w, "InvalidCiphertextException", "")
				return
			}
			answerJSON(w, map[string]any{"Plaintext": plain, "KeyId": body.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
		default:
			fail(w, "UnknownOperationException", "")
		}
	})
	c, remotes := startCloud(t, mux)
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s3cr3t",
		"AWS_SESSION_TOKEN": session, "AWS_PROFILE": "", "AWS_CA_BUNDLE": "", "AWS_ENDPOINT_URL": "",
		"AWS_ENDPOINT_URL_KMS":        "",
		"AWS_CONFIG_FILE":             filepath.Join(t.TempDir(), "none"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(name, value)
	}
	return c, peer{uri: "aws-kms://" + account + "a", other: "aws-kms://" + account + "b", open: remotes, away: c.away,
		secrets: []string{session, "s3cr3t"}}
}

func TestAWSKMSWrapsKeys(t *testing.T) {
	_, p := startAWS(t)
	p.conforms(t)
}

func TestEachFaultOfAWSKMSNamesTheNextStep(t *testing.T) {
	c, p := startAWS(t)
	wrap := func(uri string) error {
		remote, err := p.open(uri)
		check(t, err)
		_, err = remote.Wrap(t.Context(), make([]byte, keyring.KeySize))
		p.clean(t, err)
		return err
	}
	wantError(t, "no key", wrap(p.uri+"c"), "AWS answered 400 NotFoundException: Key 'arn:aws:kms:eu-central-1:"+
		"123456789012:key/ac' does not exist: check the credentials")
	t.Setenv("AWS_SESSION_TOKEN", "old-s3cr3t")
	wantError(t, "an old token", wrap(p.uri), "ExpiredTokenException: The security token is expired: [secret]")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	wantError(t, "no credentials", wrap(p.uri), "the credentials of AWS")
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	c.answer("/", strings.Repeat(" ", maxAnswer+1))
	err := wrap(p.uri)
	wantError(t, "a large answer", err, "is larger than 64 KiB")
	if isAway(err) {
		t.Error("a large answer is tried again")
	}
	for _, name := range []string{"", "arn:aws:kms:eu-central-1:123456789012", "arn:aws:s3:::bucket",
		"arn:aws:kms:evil.example.com/:123456789012:key/a", "key/a"} {
		_, err := Open("aws-kms://" + name)
		wantError(t, name, err, "the URI needs the ARN of a key or an alias (an example is aws-kms://arn:aws:kms:")
	}
}

func TestCredentialsOfAWSComeFromAnIdentityOfTheWorkload(t *testing.T) {
	c, p := startAWS(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(name, "")
	}
	file := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(file, []byte("jwt"), 0o600))
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/perennial")
	c.mux.HandleFunc("POST sts."+awsRegion+".amazonaws.com/", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") != "AssumeRoleWithWebIdentity" || r.FormValue("WebIdentityToken") != "jwt" {
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code><Message>Invalid: `+
				r.FormValue("WebIdentityToken")+`</Message></Error></ErrorResponse>`)
			return
		}
		io.WriteString(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIAEXAMPLE</AccessKeyId>
  <SecretAccessKey>s3cr3t</SecretAccessKey><SessionToken>the-session-token</SessionToken>
  <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>`)
	})
	remote, err := p.open(p.uri)
	check(t, err)
	key := make([]byte, keyring.KeySize)
	wrapped, err := remote.Wrap(t.Context(), key)
	check(t, err)
	if back, err := remote.Unwrap(t.Context(), wrapped); err != nil || string(back) != string(key) {
		t.Errorf("%v", err)
	}
	check(t, os.WriteFile(file, []byte("an-0ld-token"), 0o600))
	_, err = remote.Wrap(t.Context(), key)
	wantError(t, "another identity", err, "AWS answered 400 InvalidIdentityToken: there are no credentials: check the "+
		"credentials")
	if isAway(err) || strings.Contains(err.Error(), "0ld") {
		t.Errorf("away: %v, %v", isAway(err), err)
	}
}
