package kms

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awssdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/tink-crypto/tink-go-awskms/v3/integration/awskms"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer/foreign"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
)

// awsName matches the ARN of a key or an alias.
var awsName = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(?:key|alias)/[A-Za-z0-9/_-]+$`)

// An awsKey is a symmetric key of AWS KMS. It is called through Tink's integration and the SDK of AWS, because AWS has
// many ways to get credentials, and every request is signed.
type awsKey struct {
	http        *http.Client
	arn, region string
}

// openAWS opens aws-kms://ARN.
func openAWS(name string, http connect) (keyring.Remote, error) {
	parts := awsName.FindStringSubmatch(name)
	if parts == nil {
		return nil, errors.New("the URI needs the ARN of a key or an alias")
	}
	roots, err := certfile.ReadRoots(os.Getenv("AWS_CA_BUNDLE"))
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return &awsKey{http: http(config), arn: name, region: parts[1]}, nil
}

// An awsLogin is a client of AWS KMS with the secrets that it uses.
type awsLogin struct {
	client  *awssdk.Client
	secrets []string
}

// login returns a client with the credentials as they are now.
func (a *awsKey) login(ctx context.Context) (l awsLogin, err error) {
	// The settings accept only a client of the SDK, which gets the credentials. It follows some redirects.
	login := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		ours := transport(a.http)
		t.Proxy, t.DialContext, t.TLSClientConfig = ours.Proxy, ours.DialContext, ours.TLSClientConfig.Clone()
	})
	settings, err := config.LoadDefaultConfig(ctx, config.WithRegion(a.region), config.WithHTTPClient(login),
		config.WithRetryMaxAttempts(1), config.WithLogger(logging.Nop{})) // a start tries again itself
	if err != nil {
		return l, fmt.Errorf("the settings of AWS: %w", err)
	}
	settings.HTTPClient = a.http
	credentials, err := settings.Credentials.Retrieve(ctx)
	if err != nil {
		return l, a.unanswered("the credentials of AWS", err)
	}
	return awsLogin{awssdk.NewFromConfig(settings), []string{credentials.SessionToken, credentials.SecretAccessKey}}, nil
}

// do calls the service with the credentials as they are now. The secrets are not quoted.
func (a *awsKey) do(ctx context.Context, call func(tink.AEADWithContext) ([]byte, error), secrets ...string) ([]byte,
	error) {
	l, err := a.login(ctx)
	if err != nil {
		return nil, err
	}
	aead, err := awskms.NewAEADWithContext(ctx, a.arn, awskms.WithKMS(l.client))
	if err != nil {
		return nil, err
	}
	answer, err := call(aead)
	if err != nil {
		return nil, a.failure(err, append(secrets, l.secrets...), "use kms:Encrypt and kms:Decrypt with the key that "+
			"wrapped the keyset")
	}
	return answer, nil
}

// failure returns the error for a call of the service that failed.
func (a *awsKey) failure(err error, secrets []string, permission string) error {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return a.unanswered("AWS KMS in "+a.region, err)
	}
	r := request{secrets: secrets}
	return awsFailure(err, refused, foreign.Printable(r.redact(refused.ErrorMessage())), permission)
}

// unanswered returns the error for a call without an answer of the service.
func (a *awsKey) unanswered(what string, err error) error {
	if refused := smithy.APIError(nil); errors.As(err, &refused) { // its text could quote the identity of the workload
		return awsFailure(err, refused, "there are no credentials", "use the key")
	}
	if errors.Is(err, errTooLarge) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unanswered(what, err)
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) { // the texts above repeat each other
		err = next
	}
	return unanswered(what, err)
}

// awsLater lists the errors after which another attempt may succeed, besides those of the service itself.
var awsLater = []string{"ThrottlingException", "LimitExceededException", "DependencyTimeoutException",
	"KeyUnavailableException", "KMSInternalException"}

func awsFailure(err error, refused smithy.APIError, detail, permission string) error {
	status := 0
	if res := (*awshttp.ResponseError)(nil); errors.As(err, &res) {
		status = res.HTTPStatusCode()
	}
	text := fmt.Sprintf("AWS answered %d %s: %s", status, foreign.Printable(refused.ErrorCode()), detail)
	if status >= 500 || status == http.StatusTooManyRequests || slices.Contains(awsLater, refused.ErrorCode()) {
		return &keyring.Away{Err: errors.New(text + ": check the state of the service")}
	}
	return errors.New(text + ": check the credentials, and whether they may " + permission)
}

// Wrap implements [keyring.Remote].
func (a *awsKey) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	return a.do(ctx, func(aead tink.AEADWithContext) ([]byte, error) { return aead.EncryptWithContext(ctx, key, nil) },
		base64.StdEncoding.EncodeToString(key))
}

// Unwrap implements [keyring.Remote].
func (a *awsKey) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	return a.do(ctx, func(aead tink.AEADWithContext) ([]byte, error) { return aead.DecryptWithContext(ctx, wrapped, nil) })
}
