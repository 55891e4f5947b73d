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
	TenantName  string
	Endpoint    string
	Certificate client.Certificate
	State       string            // next step, as in the API
	RenewsAt    time.Time         // zero if no renewal is planned
	OldUntil    time.Time         // zero if nothing is left to do
	Exposed     bool              // messages are sent with the new certificate only
	Revoked     []string          // serial numbers of earlier certificates that must be removed
	Renewal     *client.Renewal   // nil if no other certificate is known
	Contact     *client.ITContact // nil if there is none
	Path        string            // of the link
	Message     string            // result of the test
}

// instructionsFor returns the instructions for a certificate of a tenant. r is nil if no older one is known. revoked is
// set if the receiver may accept earlier certificates that are revoked.
func instructionsFor(tenant string, c client.Certificate, r *client.Renewal, revoked bool) []instructions.Instruction {
	described := func(c client.Certificate) instructions.Certificate {
		return instructions.Certificate{Tenant: tenant, Generation: c.Generation, Subject: c.Subject, Serial: c.Serial,
			SHA256: c.Fingerprint, SHA1: c.SHA1}
	}
	renewal := instructions.Renewal{New: described(c), Revoked: revoked}
	if r != nil {
		renewal.Changes = r.Changes
	}
	if r != nil && r.Old.State != tenancy.Revoked {
		renewal.Old = new(described(r.Old))
	}
	return instructions.For(renewal)
}

// whatChanges describes what changes with a renewal, besides the serial number and the dates.
func (v *view) whatChanges(c tenancy.Changes) (all []string) {
	if !c.Subject && !c.SAN && !c.Issuer && !c.Root {
		return []string{v.T("The subject, the subject alternative name and the issuing CA stay the same.")}
	}
	if c.Subject {
		all = append(all, v.T("The subject changes."))
	}
	if c.SAN {
		all = append(all, v.T("The subject alternative name changes."))
	}
	switch {
	case c.Root:
		all = append(all, v.T("The issuing CA and its root change. A system that trusts the old CA must trust the new "+
			"one too."))
	case c.Issuer:
		all = append(all, v.T("The issuing CA changes, and its root stays the same. A system that trusts the root needs no "+
			"change."))
	}
	return all
}

// genuine describes how a receiver's administrator verifies the certificate. Certificates of all tenants have the same
// issuer. Only the subject and the issuer together identify the tenant, and only in the receiver's own configuration.
// Neither identifies the key, so the fingerprint must come over a second channel.
func (v *view) genuine(l linked) []string {
	all := []string{v.T("The sender of the link may be lying, and this page cannot prove otherwise. A familiar issuer " +
		"proves nothing either, because the same CA issues the certificates of other companies.")}
	if l.Renewal == nil {
		all = append(all, v.T("No earlier certificate is known, so your own system has nothing to compare this one "+
			"with."))
	} else {
		all = append(all, v.T("In your own system, look up the certificate that it accepts for %s. Its subject must be "+
			"%s, and its issuer must be %s. If one of them differs, do not install the new certificate.", l.Tenant,
			l.Renewal.Old.Subject, l.Renewal.Old.Issuer), v.confirmed(l.Renewal))
	}
	return append(all,
		v.T("Then compare the SHA-256 fingerprint above with the one that your contact at %s reads to you, for example by "+
			"phone. Use a contact that you already knew, not one from this page or from the mail with the link.", l.Tenant),
		v.T("This page never asks for a password or a private key. It shows only public information, so you may pass it on."))
}

// confirmed states what the receiver's own configuration shows about the new certificate.
func (v *view) confirmed(r *client.Renewal) string {
	switch c := r.Changes; {
	case c.Subject && c.Issuer:
		return v.T("This time both change: the subject to %s, and the issuer to %s. Your system cannot confirm them, so "+
			"ask your contact to confirm both.", r.New.Subject, r.New.Issuer)
	case c.Subject:
		return v.T("This time the subject changes to %s, and the issuer stays the same. Your system cannot confirm the new "+
			"subject, so ask your contact to confirm it.", r.New.Subject)
	case c.Issuer:
		return v.T("This time the issuer changes to %s, and the subject stays the same. Your system cannot confirm the new "+
			"issuer, so ask your contact to confirm it.", r.New.Issuer)
	}
	return v.T("The new certificate has the same subject and the same issuer. Check this in the file that you downloaded.")
}

// whatToDo states the steps of the receiver's administrator, as far as they follow from the declared identification.
func (v *view) whatToDo(r client.Renewal) string {
	if len(r.IdentifiesBy) == 0 {
		return v.T("The required steps depend on how the receiver checks certificates, which is not known. The test shows " +
			"whether it accepts the new one.")
	}
	by := v.identifies(r.IdentifiesBy)
	switch r.Survival {
	case tenancy.Survives:
		return v.T("The receiver checks %s. That stays the same, so nothing has to be installed. The test confirms this.", by)
	case tenancy.Fails:
		return v.T("The receiver checks %s. That changes, so the new certificate has to be installed.", by)
	}
	return v.T("The receiver checks %s. It accepts the new certificate only if it trusts the new CA.", by)
}

// identifies names what a receiver checks.
func (v *view) identifies(all []tenancy.Identifier) string {
	names := make([]string, len(all))
	for i, id := range all {
		names[i] = v.identifier(id)
	}
	return strings.Join(names, " + ")
}

func (v *view) identifier(id tenancy.Identifier) string {
	switch id {
	case tenancy.ByCertificate:
		return v.T("the fingerprint of the whole certificate (pin)")
	case tenancy.ByIssuerSerial:
		return v.T("issuer and serial number")
	case tenancy.ByKey:
		return v.T("the public key (SPKI pin)")
	case tenancy.BySubjectIssuer:
		return v.T("subject and issuer")
	case tenancy.BySubject:
		return v.T("the subject")
	case tenancy.BySAN:
		return v.T("the SAN (URI or DNS)")
	case tenancy.ByCA:
		return v.T("only that a trusted CA has signed it")
	case tenancy.ByNewestOnly:
		return v.T("subject and issuer, and only the newest certificate")
	}
	return string(id)
}

// A checkRow is one way to check certificates. Each failure is empty if the check still works.
type checkRow struct{ what, renewal, ca string }

// checks lists the ways in which receivers check certificates, and what breaks them.
func checks(v *view) []checkRow {
	failure := func(s tenancy.Survival) string {
		switch s {
		case tenancy.Survives:
			return ""
		case tenancy.Fails:
			return v.T("fails")
		}
		return v.T("fails until the new CA is trusted")
	}
	renewal, newCA := tenancy.Changes{Key: true}, tenancy.Changes{Key: true, Issuer: true, Root: true}
	var rows []checkRow
	for _, id := range tenancy.Identifiers() {
		by := []tenancy.Identifier{id}
		row := checkRow{v.identifier(id), failure(renewal.Survival(by)), failure(newCA.Survival(by))}
		if id == tenancy.ByCA {
			row.ca = v.T("fails until the new CA is trusted")
		}
		rows = append(rows, row)
	}
	return rows
}

// A difference is one field of two generations.
type difference struct{ field, before, after string }

func differences(v *view, a, b client.Certificate) []difference {
	return []difference{
		{v.T("Subject"), a.Subject, b.Subject},
		{v.T("Issued by"), a.Issuer, b.Issuer},
		{v.T("Key type"), string(a.KeyType), string(b.KeyType)},
		{v.T("Serial number"), a.Serial, b.Serial},
		{"SHA-256", a.Fingerprint, b.Fingerprint},
		{v.T("Valid from"), v.When(a.NotBefore), v.When(b.NotBefore)},
		{v.T("Valid until"), v.When(a.NotAfter), v.When(b.NotAfter)},
	}
}

// A notation is a text in the form of a program.
type notation struct{ text, program string }

// serialNumber returns the notations of a serial number.
func (v *view) serialNumber(c client.Certificate) (all []notation) {
	for _, n := range []notation{{c.Serial, v.T("hexadecimal")}, {c.SerialDecimal, v.T("decimal")},
		{c.SerialOpenSSL, "OpenSSL"}, {c.SerialDotNET, ".NET, Windows"}} {
		if n.text != "" {
			all = append(all, n)
		}
	}
	return all
}

func latestFirst(all []client.Certificate, p tenancy.Purpose) (some []client.Certificate) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Purpose == p {
			some = append(some, all[i])
		}
	}
	return some
}

// openTasks returns the number of open tasks, as far as they were read.
func openTasks(s situation) string {
	if s.moreTasks {
		return count(len(s.tasks)) + "+"
	}
	return count(len(s.tasks))
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
