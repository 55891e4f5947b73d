package webhook

import "slices"

// A Type is the type of an event.
type Type string

// The types of events.
const (
	CertificateExpiring Type = "certificate.expiring"
	CertificateRenewed  Type = "certificate.renewed"
	CertificateRevoked  Type = "certificate.revoked"
	CertificateRetired  Type = "certificate.retired"
	RolloverAccepted    Type = "rollover.accepted"
	RolloverRefused     Type = "rollover.refused"
	RolloverCutOver     Type = "rollover.cut_over"
	RolloverAtRisk      Type = "rollover.at_risk"
	WatchedExpiring     Type = "watched.expiring"
	WatchedOverdue      Type = "watched.overdue"
	WatchedExpired      Type = "watched.expired"
	WatchedUnreadable   Type = "watched.unreadable"
	WatchedSeen         Type = "watched.seen"
	FeedSilent          Type = "feed.silent"
	AuthorityAnnounced  Type = "authority.announced"
	AuthorityRevoked    Type = "authority.revoked"
	RunFinished         Type = "run.finished"
	RunFailed           Type = "run.failed"
	MailHeld            Type = "mail.held"
	MailReleased        Type = "mail.released"
	TokenExpiring       Type = "token.expiring"
	GuardHeld           Type = "guard.held"
	GuardAccepted       Type = "guard.accepted"
	GuardDeclined       Type = "guard.declined"
	Test                Type = "webhook.test"
)

// A Definition describes a type of event.
type Definition struct {
	Type Type
	// Doc is a sentence about when the event is sent.
	Doc string
	// InTenant is true if the event belongs to a tenant. Webhooks of a tenant get no other events. [FeedSilent] belongs to
	// none if it is about the feed of a counterparty.
	InTenant bool
	// Problem is true if the event opens or resolves a problem. Alerting gets no other events.
	Problem bool
	// New returns an empty value of the type of the event's data.
	New func() Data
}

// OfCounterparty reports whether webhooks of counterparties can have events of the type: those about an arrangement, or
// about a certificate that arrangements present.
func (d Definition) OfCounterparty() bool {
	switch d.Type {
	case CertificateExpiring, CertificateRenewed, CertificateRevoked, CertificateRetired, RolloverAccepted,
		RolloverRefused, RolloverCutOver, RolloverAtRisk, FeedSilent:
		return true
	}
	return false
}

var definitions = []Definition{
	{CertificateExpiring, "A certificate of the tenant will be renewed soon.", true, false,
		func() Data { return new(CertificateExpiringData) }},
	{CertificateRenewed, "A certificate was renewed. Its receivers do not know the new one yet.", true, false,
		func() Data { return new(CertificateRenewedData) }},
	{CertificateRevoked, "A certificate was revoked.", true, false,
		func() Data { return new(CertificateRevokedData) }},
	{CertificateRetired, "A certificate was retired: every roll-over from it is settled, or it has expired.", true,
		false, func() Data { return new(CertificateRetiredData) }},
	{RolloverAccepted, "A message or a question proved that a receiver accepts a generation.", true, true,
		func() Data { return new(RolloverVerdictData) }},
	{RolloverRefused, "A message or a question proved that a receiver refuses a generation.", true, true,
		func() Data { return new(RolloverVerdictData) }},
	{RolloverCutOver, "An arrangement presents another generation from now on.", true, false,
		func() Data { return new(RolloverCutOverData) }},
	{RolloverAtRisk, "A receiver is not known to accept the new certificate, and the old one expires. It is sent 30, " +
		"14, 7, 3 and 1 days before that.", true, true, func() Data { return new(RolloverAtRiskData) }},
	{WatchedExpiring, "The owner of a watched certificate is going to renew it.", true, false,
		func() Data { return new(WatchedData) }},
	{WatchedOverdue, "A watched certificate has not been renewed as expected.", true, true,
		func() Data { return new(WatchedData) }},
	{WatchedExpired, "A watched certificate has expired, and no new one was seen.", true, true,
		func() Data { return new(WatchedData) }},
	{WatchedUnreadable, "The source of a watched certificate has been unreadable for three days.", true, true,
		func() Data { return new(WatchedData) }},
	{WatchedSeen, "A new certificate was seen in place of a watched one.", true, true,
		func() Data { return new(WatchedData) }},
	{FeedSilent, "A receiver, or a counterparty, has not fetched its feed for 7 days, although it did before.", true, true,
		func() Data { return new(FeedSilentData) }},
	{AuthorityAnnounced, "A new CA was announced that will issue certificates.", false, false,
		func() Data { return new(AuthorityData) }},
	{AuthorityRevoked, "A CA was revoked. The certificates that it issued are renewed.", false, false,
		func() Data { return new(AuthorityData) }},
	{RunFinished, "A run has processed every certificate.", false, true, func() Data { return new(RunData) }},
	{RunFailed, "A run could not renew some certificates, and retries. It is sent at most once a day for each run.",
		false, true, func() Data { return new(RunData) }},
	{MailHeld, "The mail server refuses the installation, so no mail is sent.", false, true,
		func() Data { return new(MailData) }},
	{MailReleased, "The mail server accepts mails again.", false, true, func() Data { return new(MailData) }},
	{TokenExpiring, "The token of a sender or a gateway expires without a successor. It is sent 30, 14, 7, 3 and 1 " +
		"days before that.", false, true, func() Data { return new(TokenData) }},
	{GuardHeld, "The guard holds a partner's certificate until a person decides.", false, true,
		func() Data { return new(GuardData) }},
	{GuardAccepted, "The guard accepts a partner's certificate.", false, true, func() Data { return new(GuardData) }},
	{GuardDeclined, "A person declined a partner's certificate.", false, true, func() Data { return new(GuardData) }},
	{Test, "Someone tests the webhook.", true, true, func() Data { return new(TestData) }},
}

// Definitions returns the types of events in the order of the documentation.
func Definitions() []Definition { return slices.Clone(definitions) }

// DefinitionOf returns the definition of a type of event.
func DefinitionOf(t Type) (Definition, bool) {
	i := slices.IndexFunc(definitions, func(d Definition) bool { return d.Type == t })
	if i < 0 {
		return Definition{}, false
	}
	return definitions[i], true
}
