package kms

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"regexp"
	"strconv"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"

	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

const (
	googleAPI   = "https://cloudkms.googleapis.com/v1/"
	googleScope = "https://www.googleapis.com/auth/cloudkms"
)

// googleName matches the resource name of a key.
var googleName = regexp.MustCompile(`^projects/[a-z0-9][a-z0-9.:-]*/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+` +
	`/cryptoKeys/[A-Za-z0-9_-]+$`)

// A googleKey is a symmetric key of Google Cloud KMS. The two calls of its API are implemented here, because the client
// library, which Tink's integration uses too, would add 7.8 MB.
type googleKey struct {
	http *http.Client
	name string
}

// openGoogle opens gcp-kms://projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY.
func openGoogle(name string, http connect) (keyring.Remote, error) {
	if !googleName.MatchString(name) {
		return nil, errors.New("the URI needs the resource name of a key")
	}
	return &googleKey{http: http(nil), name: name}, nil
}

// token returns an access token of the application default credentials.
func (g *googleKey) token(ctx context.Context) (string, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, g.http)
	credentials, err := google.FindDefaultCredentials(ctx, googleScope)
	if err != nil {
		return "", fmt.Errorf("no credentials for Google Cloud: set GOOGLE_APPLICATION_CREDENTIALS, or give the machine a "+
			"service account: %w", err)
	}
	token, err := credentials.TokenSource.Token()
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) {
		// The error of the library has the whole answer.
		status := refused.Response.StatusCode
		err = fmt.Errorf("the credentials for Google Cloud are not accepted (%d %s): check GOOGLE_APPLICATION_CREDENTIALS",
			status, http.StatusText(status))
		if status >= 500 || status == http.StatusTooManyRequests {
			return "", &keyring.Away{Err: err}
		}
		return "", err
	}
	if err != nil {
		return "", unanswered("the token service of Google Cloud", err)
	}
	return token.AccessToken, nil
}

type googleData struct {
	Plaintext, Ciphertext             []byte
	PlaintextCRC32C, CiphertextCRC32C string
	VerifiedPlaintextCRC32C           bool
	VerifiedCiphertextCRC32C          bool
}

func (g *googleKey) call(ctx context.Context, operation, field string, value []byte) (data googleData, err error) {
	token, err := g.token(ctx)
	if err != nil {
		return data, err
	}
	err = request{
		method: http.MethodPost, url: googleAPI + g.name + ":" + operation,
		header:  http.Header{"Authorization": {"Bearer " + token}},
		body:    map[string]string{field: base64.StdEncoding.EncodeToString(value), field + "Crc32c": checksum(value)},
		secrets: []string{token, base64.StdEncoding.EncodeToString(value)}, detail: nestedError,
	}.do(ctx, g.http, &data)
	return data, err
}

// checksum returns the CRC32C of data in the form of the API.
func checksum(data []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))), 10)
}

// nestedError returns the text of an error of Google Cloud or Azure.
func nestedError(body []byte) string {
	var answer struct{ Error struct{ Message string } }
	json.Unmarshal(body, &answer)
	return answer.Error.Message
}

var errDamaged = errors.New("the answer of Google Cloud KMS does not have its checksum: it was damaged on the way")

// Wrap implements [keyring.Remote].
func (g *googleKey) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	data, err := g.call(ctx, "encrypt", "plaintext", key)
	if err != nil {
		return nil, err
	}
	if !data.VerifiedPlaintextCRC32C || len(data.Ciphertext) == 0 || checksum(data.Ciphertext) != data.CiphertextCRC32C {
		return nil, errDamaged
	}
	return data.Ciphertext, nil
}

// Unwrap implements [keyring.Remote].
func (g *googleKey) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	data, err := g.call(ctx, "decrypt", "ciphertext", wrapped)
	if err != nil {
		return nil, err
	}
	if checksum(data.Plaintext) != data.PlaintextCRC32C {
		return nil, errDamaged
	}
	return data.Plaintext, nil
}
