package web

import (
	"strconv"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/front/instructions"
	"github.com/perennial-pki/perennial/tenancy"
)

// linked holds the content of a link for a receiver's administrator.
type linked struct {
	Tenant      string
	Endpoint    string
	Certificate client.Certificate
	OldUntil    time.Time
	Exposed     bool              // messages are sent with the new certificate only
	Contact     *client.ITContact // nil if there is none
	Path        string            // of the link
	Message     string            // result of the test
}

// instructionsFor returns the instructions for a certificate.
func instructionsFor(c client.Certificate) []instructions.Instruction {
	return instructions.For(instructions.Certificate{Generation: c.Generation, Subject: c.Subject, Serial: c.Serial,
		SHA256: c.Fingerprint, SHA1: c.SHA1})
}

// A checkRow is one way to check certificates. Each failure is empty if the check still works.
type checkRow struct{ what, renewal, ca string }

// checks lists the ways in which receivers check certificates, and what breaks them.
func checks(v *view) []checkRow {
	fails := v.T("fails")
	return []checkRow{
		{v.T("the fingerprint of the whole certificate (pin)"), fails, fails},
		{v.T("issuer and serial number"), fails, fails},
		{v.T("the public key (SPKI pin)"), fails, fails},
		{v.T("the subject, or subject and issuer"), "", v.T("fails if the issuer is mapped")},
		{v.T("the SAN (URI or DNS)"), "", v.T("fails until the CA is trusted")},
		{v.T("any certificate of a trusted CA"), "", v.T("fails until the new CA is trusted")},
	}
}

// A difference is one field of two generations.
type difference struct{ field, before, after string }

func differences(v *view, a, b client.Certificate) []difference {
	return []difference{
		{v.T("Subject"), a.Subject, b.Subject},
		{v.T("Key type"), string(a.KeyType), string(b.KeyType)},
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
		return v.T("Confirmed: as soon as a person or a test confirms that the receiver is ready")
	case tenancy.Manual:
		return v.T("Manual: when a person decides")
	case tenancy.Immediate:
		return v.T("Immediate: at the renewal, even if the receiver does not accept the new certificate")
	}
	return v.T("Adaptive: as soon as a person, a test or a message shows that the receiver is ready")
}

// list formats numbers as "1, then 2".
func list(v *view, numbers []int) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, v.T(", then "))
}
