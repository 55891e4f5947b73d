package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/tenancy"
)

// linked is what a link for a receiver's administrator shows.
type linked struct {
	Tenant      string
	Endpoint    string
	Certificate client.Certificate
	OldUntil    time.Time
	Contact     *client.ITContact // nil where nobody is known
	Path        string            // of the link
	Message     string            // how the test went
}

// instructionsFor says what to do about a certificate.
func instructionsFor(c client.Certificate) []instructions.Instruction {
	return instructions.For(instructions.Certificate{Generation: c.Generation, Subject: c.Subject, Serial: c.Serial,
		SHA256: c.Fingerprint, SHA1: c.SHA1})
}

// checks are how receivers check, and what survives.
var checks = []struct{ what, renewal, ca string }{
	{"the fingerprint of the whole certificate (pin)", "fails", "fails"},
	{"issuer and serial number", "fails", "fails"},
	{"the public key (SPKI pin)", "fails", "fails"},
	{"the subject, or subject and issuer", "works", "fails where the issuer is mapped"},
	{"the SAN (URI or DNS)", "works", "fails until the CA is trusted"},
	{"any certificate of a trusted CA", "works", "fails until the new CA is trusted"},
}

// A difference is one field of two generations.
type difference struct{ field, before, after string }

func differences(v *view, a, b client.Certificate) []difference {
	return []difference{
		{v.T("Subject"), a.Subject, b.Subject},
		{v.T("Keys"), string(a.KeyType), string(b.KeyType)},
		{v.T("Serial number"), a.Serial, b.Serial},
		{"SHA-256", a.Fingerprint, b.Fingerprint},
		{v.T("Valid from"), v.When(a.NotBefore), v.When(b.NotBefore)},
		{v.T("Valid until"), v.When(a.NotAfter), v.When(b.NotAfter)},
	}
}

func latestFirst(all []client.Certificate, p tenancy.Purpose) (some []client.Certificate) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Purpose == p {
			some = append(some, all[i])
		}
	}
	return some
}

func openTasks(tasks []client.Task) string {
	if len(tasks) >= 5 {
		return "5+"
	}
	return count(len(tasks))
}

func receiverName(r roll) string {
	if r.receiver.ContactName != "" {
		return r.receiver.ContactName
	}
	return r.receiver.DisplayName
}

func (v *view) strategy(s tenancy.Strategy) string {
	switch s {
	case tenancy.Confirmed:
		return v.T("Confirmed: when a person or a probe says that the receiver is ready")
	case tenancy.Manual:
		return v.T("Manual: when a person chooses")
	case tenancy.Immediate:
		return v.T("Immediate: at the renewal, whatever the receiver accepts")
	}
	return v.T("Adaptive: when a person, a probe or the messages show that the receiver is ready")
}

// list writes numbers: "1, then 2".
func list(v *view, numbers []int) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, v.T(", then "))
}
