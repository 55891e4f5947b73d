package lookout

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/outbound"
	"github.com/perennial-pki/perennial/internal/engine/watching"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/redact"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	// readTimeout limits the time to read a URL. [outbound.Meet] has a limit of its own.
	readTimeout = 15 * time.Second
	// mostRedirects limits how often a URL leads to another one.
	mostRedirects = 3
	// mostFiles and mostInFolder limit the files of a folder that are read, and their size together.
	mostFiles    = 500
	mostInFolder = 16 << 20
)

// extensions are the files of a folder that are read.
var extensions = []string{".pem", ".cer", ".crt", ".der", ".p7b", ".p7c"}

// Read returns the certificate that a source shows now, with the CAs above it. known is the watched certificate (DER),
// with which it is compared if the source has several; nil if there is none yet.
func (l *Lookout) Read(ctx context.Context, tenant string, source tenancy.WatchSource, known []byte) (chain [][]byte,
	err error) {
	var found []*x509.Certificate
	switch source.Kind {
	case tenancy.WatchFolder:
		found, err = readFolder(source.Address)
	case tenancy.WatchURL:
		found, err = l.readURL(ctx, tenant, source.Address)
	case tenancy.WatchServer:
		return l.readServer(ctx, tenant, source.Address)
	default:
		err = fmt.Errorf("unknown kind of source %q", source.Kind)
	}
	if err != nil {
		return nil, err
	}
	return watching.Choose(found, known)
}

// readFolder reads the certificates of all files in a folder, or of one file. Files that are not certificates are left
// out, because others may keep them there.
func readFolder(path string) (found []*x509.Certificate, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, unreadable(path, err)
	case info.Mode().IsRegular():
		return readFile(path)
	case !info.IsDir():
		return nil, tenancy.Failure("%s is neither a folder nor a file", path)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	files, size := 0, int64(0)
	for _, e := range entries {
		name := filepath.Join(path, e.Name())
		info, err := os.Stat(name)
		if err != nil || !info.Mode().IsRegular() || !slices.Contains(extensions, strings.ToLower(filepath.Ext(name))) {
			continue
		}
		files, size = files+1, size+info.Size()
		if files > mostFiles || size > mostInFolder {
			return nil, tenancy.Failure("%s has more than %d certificate files, or more than %d MiB of them: use a folder "+
				"for each partner", path, mostFiles, mostInFolder>>20)
		}
		if all, err := readFile(name); err == nil {
			found = append(found, all...)
		}
	}
	if len(found) == 0 {
		return nil, tenancy.Failure("no file in %s is a certificate (%s)", path, strings.Join(extensions, ", "))
	}
	return found, nil
}

func readFile(path string) ([]*x509.Certificate, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, unreadable(path, errors.Join(err, fs.ErrInvalid))
	}
	return parse(f)
}

// parse reads all certificates of a file. Damaged ones beside others are left out.
func parse(r io.Reader) ([]*x509.Certificate, error) {
	data, err := io.ReadAll(io.LimitReader(r, certfile.MaxSize+1))
	if err != nil {
		return nil, failed(err)
	}
	if len(data) > certfile.MaxSize {
		return nil, tenancy.Failure("the source is larger than %d MiB, so it is not a certificate file", certfile.MaxSize>>20)
	}
	all, err := certfile.ParseAll(data, "")
	var damaged *certfile.DamagedError
	switch {
	case errors.As(err, &damaged) && len(all) == 0:
		return nil, tenancy.Failure("the certificate is damaged: %v", err)
	case err != nil && len(all) == 0:
		return nil, errNoCertificate
	}
	return all, nil
}

func (l *Lookout) readURL(ctx context.Context, tenant, address string) ([]*x509.Certificate, error) {
	endpoint, err := outbound.Endpoint(address)
	if err != nil {
		return nil, errAddress
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	network := l.network.For(tenant)
	config := network.TLS(nil, tenancy.Egress{}, nil)
	config.RootCAs = l.roots
	transport := network.Transport(tenancy.Egress{}, config)
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: redirect}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint.String(), nil)
	if err != nil {
		return nil, errAddress
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, failed(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, tenancy.Failure("the server answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	return parse(res.Body)
}

func redirect(r *http.Request, via []*http.Request) error {
	switch {
	case r.URL.Scheme != "https":
		return errPlain
	case len(via) > mostRedirects:
		return errRedirects
	}
	return nil
}

// Errors of a look. They contain nothing of a URL, because that may have a secret, and they do not quote the server.
var (
	errAddress   = tenancy.Failure("the address of the source is not a valid URL: correct it")
	errPlain     = tenancy.Failure("the server redirects to a URL that is not https")
	errRedirects = tenancy.Failure("the server redirects more than %d times", mostRedirects)
	errAnswer    = tenancy.Failure("the answer of the server is not valid HTTP, or redirects to an invalid URL")
	errTime      = tenancy.Failure("the server did not answer in time")
	errClosed    = tenancy.Failure("the server closed the connection without an answer")
	errRefused   = tenancy.Failure("nothing listens at the port of the server (connection refused)")
	errDenied    = tenancy.Failure("the host of the source is, or resolves to, an address that is not allowed: choose " +
		"another one, or ask an operator to allow it with --allow-target")
	errNoChain       = tenancy.Failure("the server presents no certificate")
	errNoCertificate = tenancy.Failure("the source shows no certificate in PEM, DER, PKCS#7 or PKCS#12")
)

// failed returns the error of a connection for tenants: without the URL, because a redirect may have led to one with a
// secret, and without addresses of this network. Only errors of the network and of TLS keep their text, because
// net/http quotes the server in others.
func failed(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	var dns *net.DNSError
	var network net.Error
	var unverified *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errPlain), errors.Is(err, errRedirects), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, outbound.ErrForbiddenAddress):
		return errDenied
	case errors.As(err, &dns):
		return outbound.NoAddress(dns)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errRefused
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return errClosed
	case errors.As(err, &unverified):
		return tenancy.Failure("the certificate of the server is not trusted: %v", err)
	case errors.As(err, &record):
		return tenancy.Failure("the server does not speak TLS: %v", err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return errTime
	case errors.As(err, &network):
		return tenancy.Failure("the connection to the server failed: %v", redact.Error(err))
	}
	return errAnswer
}

// unreadable returns the error for a file or folder that cannot be read.
func unreadable(path string, err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		err = of.Err // it repeats the path
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tenancy.Failure("there is no file or folder %s", path)
	case errors.Is(err, fs.ErrPermission):
		return tenancy.Failure("the service may not read %s: change its permissions", path)
	}
	return tenancy.Failure("%s cannot be read: %v", path, err)
}

// readServer returns the certificate that a TLS server presents, with the chain that it sends.
func (l *Lookout) readServer(ctx context.Context, tenant, address string) (chain [][]byte, err error) {
	endpoint, err := outbound.Endpoint("https://" + address)
	if err != nil {
		return nil, err
	}
	shown, err := outbound.Meet(ctx, l.network.For(tenant), "", endpoint)
	if err != nil {
		return nil, failed(err)
	}
	for _, c := range shown {
		chain = append(chain, c.Raw)
	}
	if len(chain) == 0 {
		return nil, errNoChain
	}
	return chain, nil
}
