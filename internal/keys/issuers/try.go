package issuers

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/perennial-pki/perennial/internal/keys/certfile"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// ThrowAway is the tenant of test certificates.
const ThrowAway = "perennial-issuer-test"

// A Report describes a certificate that was issued for a test.
type Report struct {
	// Later is the handle of a request that the CA answers later. The other fields are empty then.
	Later            string        `json:"later,omitempty"`
	Subject          string        `json:"subject,omitempty"`
	SAN              string        `json:"san,omitempty"`
	RequestedSubject string        `json:"requested_subject,omitempty"`
	RequestedSAN     string        `json:"requested_san,omitempty"`
	Serial           string        `json:"serial,omitempty"`
	NotBefore        time.Time     `json:"not_before,omitzero"`
	NotAfter         time.Time     `json:"not_after,omitzero"`
	KeyUsage         string        `json:"key_usage,omitempty"`
	Usages           []string      `json:"extended_key_usages,omitempty"` // OIDs
	Chain            []string      `json:"chain,omitempty"`               // subjects, from the issuing authority up
	Root             string        `json:"root,omitempty"`
	Taken            time.Duration `json:"taken_ns"`
	Revoked          string        `json:"revoked,omitempty"` // "yes", "not supported", or why not
}

// Try issues a certificate for a throw-away tenant, and revokes it if the CA can. The issuer is one that [Entry.Open]
// returned, so that the certificate is checked.
func Try(ctx context.Context, i issuer.Issuer, form issuer.Form, r issuer.Request, now func() time.Time) (report Report,
	err error) {
	if r.Key, err = keyring.Generate(tenancy.P256); err != nil {
		return report, err
	}
	r.Tenant, r.Purpose, r.At = ThrowAway, tenancy.ForTenant, now()
	names, err := requested(i, form, r)
	if err != nil {
		return report, err
	}
	issued, err := i.Issue(ctx, r)
	report.Taken = now().Sub(r.At)
	if later := (*issuer.RequestedError)(nil); errors.As(err, &later) {
		report.Later = later.Handle
		return report, nil
	}
	if err != nil {
		return report, err
	}
	report.RequestedSubject, report.RequestedSAN = names.Text()
	if err := report.describe(issued); err != nil {
		return report, err
	}
	report.Revoked = "not supported"
	if revoker, ok := issuer.As[issuer.Revoker](i); ok {
		report.Revoked = "yes"
		if err := revoker.Revoke(ctx, tenancy.Certificate{Serial: issued.Serial, DER: issued.DER, RevokedAt: now(),
			RevokedFor: "superseded"}); err != nil {
			report.Revoked = "no: " + err.Error()
		}
	}
	return report, nil
}

// requested returns the names that a certificate should have.
func requested(i issuer.Issuer, form issuer.Form, r issuer.Request) (certfile.Names, error) {
	if namer, ok := issuer.As[issuer.Namer](i); ok {
		return namer.Names(r)
	}
	return form.Requested(r)
}

func (r *Report) describe(issued issuer.Issued) error {
	leaf, err := x509.ParseCertificate(issued.DER)
	if err != nil {
		return err
	}
	names, err := certfile.NamesOf(issued.DER)
	if err != nil {
		return err
	}
	r.Subject, r.SAN = names.Text()
	r.Serial, r.NotBefore, r.NotAfter = issued.Serial, leaf.NotBefore, leaf.NotAfter
	r.KeyUsage, r.Usages = usageText(leaf.KeyUsage), certfile.Usages(issued.DER)
	r.Root = certfile.Name(leaf.RawIssuer)
	for _, der := range issued.Chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		r.Chain, r.Root = append(r.Chain, certfile.Name(c.RawSubject)), certfile.Name(c.RawIssuer)
	}
	return nil
}

// usages are the key usages of RFC 5280, section 4.2.1.3, in the order of their bits.
var usages = []string{"digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement",
	"keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"}

func usageText(usage x509.KeyUsage) (text string) {
	for bit, name := range usages {
		if usage&(1<<bit) == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += name
	}
	return text
}

// Capabilities describes what an issuer can do besides issuing.
func Capabilities(i issuer.Issuer) (all []string) {
	for _, c := range []struct {
		name string
		has  bool
	}{{"revokes", has[issuer.Revoker](i)}, {"answers later", has[issuer.Collector](i)},
		{"keeps names", has[issuer.Namer](i)}, {"hints", has[issuer.Hinter](i)}} {
		if c.has {
			all = append(all, c.name)
		}
	}
	return all
}

func has[T any](i issuer.Issuer) bool {
	_, ok := issuer.As[T](i)
	return ok
}

// Differences describes how a certificate differs from what was requested; empty if it does not.
func (r Report) Differences() (all []string) {
	if r.Subject != r.RequestedSubject {
		all = append(all, fmt.Sprintf("the CA changed the subject: requested was %s", r.RequestedSubject))
	}
	if r.SAN != r.RequestedSAN {
		all = append(all, fmt.Sprintf("the CA changed the alternative names: requested were %s", r.RequestedSAN))
	}
	return all
}
