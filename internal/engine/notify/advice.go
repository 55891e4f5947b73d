package notify

import (
	"strings"

	"github.com/perennial-pki/perennial/tenancy"
)

// An advice is what is known about a receiver, and the next step there.
type advice int

const (
	willSurvive advice = iota
	willGetOnlyNew
	willNeedChange
	dependsOnTrust
	willBeUnknown
	notOfNewCA
	laterThanCA
	mustTrustCA
	unknownForCA
	asksForNone
	accepts
	refusesThoughClaimed
	refusesOnly
	onlySurvives
	onlyNeedsChange
	onlyUnknown
	refuses
	claimedOnly
	survives
	needsChange
	isUnknown
	simplyConcerned
)

// idle reports whether there is nothing to do.
func (a advice) idle() bool {
	switch a {
	case willSurvive, notOfNewCA, laterThanCA, asksForNone, accepts:
		return true
	}
	return false
}

// adviceOf decides what to say about a receiver. It claims a refusal only if this is proved.
func adviceOf(kind tenancy.NoticeKind, a Affected) advice {
	switch kind {
	case tenancy.Expiring:
		return beforeRenewal(a)
	case tenancy.NewAuthority:
		return beforeNewCA(a)
	case tenancy.Differs:
		return simplyConcerned
	}
	switch {
	case a.Unasked:
		return asksForNone
	case a.Accepts:
		return accepts
	case a.Refuses && a.Claimed:
		return refusesThoughClaimed
	case a.Exposed && a.Refuses:
		return refusesOnly
	case a.Exposed && a.Unaffected:
		return onlySurvives
	case a.Exposed && a.MustChange:
		return onlyNeedsChange
	case a.Exposed:
		return onlyUnknown
	case a.Refuses:
		return refuses
	case a.Claimed:
		return claimedOnly
	case a.Unaffected:
		return survives
	case a.MustChange:
		return needsChange
	}
	return isUnknown
}

func beforeRenewal(a Affected) advice {
	switch {
	case a.Unaffected:
		return willSurvive
	case a.Immediate:
		return willGetOnlyNew
	case a.MustChange:
		return willNeedChange
	case a.Checks != "":
		return dependsOnTrust
	}
	return willBeUnknown
}

func beforeNewCA(a Affected) advice {
	switch {
	case a.Unaffected:
		return notOfNewCA
	case a.MustChange && !a.DependsOnCA:
		return laterThanCA
	case a.DependsOnCA:
		return mustTrustCA
	}
	return unknownForCA
}

// adviceTexts are the words for each advice, in English and in German. {checks} is what the receiver compares, {answer}
// its answer in brackets, {by} the deadline, and {because} why it is today.
var adviceTexts = [...][2]string{
	willSurvive: {"Nothing to do: it checks {checks}, which stays the same.",
		"Nichts zu tun: Es prüft {checks}, und das bleibt gleich."},
	willGetOnlyNew: {"It gets only the new certificate from that day on, so it must accept the new one by then.",
		"Es erhält von dem Tag an nur das neue Zertifikat, muss es also bis dahin akzeptieren."},
	willNeedChange: {"It checks {checks}, so it will need a change.",
		"Es prüft {checks}, dort ist also eine Änderung nötig."},
	dependsOnTrust: {"It checks {checks}. Whether it needs a change depends on the CAs that it trusts.",
		"Es prüft {checks}. Ob eine Änderung nötig ist, hängt davon ab, welchen CAs es vertraut."},
	willBeUnknown: {"It is not known how it checks certificates.",
		"Es ist nicht bekannt, wie es Zertifikate prüft."},
	notOfNewCA: {"Nothing to do: it checks {checks}, and does not depend on the new CA.",
		"Nichts zu tun: Es prüft {checks} und hängt nicht von der neuen CA ab."},
	laterThanCA: {"Nothing to do now: it checks {checks}. It needs your next certificate when that is renewed.",
		"Jetzt nichts zu tun: Es prüft {checks}. Es braucht Ihr nächstes Zertifikat, sobald das erneuert ist."},
	mustTrustCA: {"It checks {checks}, so it must trust the new CA.",
		"Es prüft {checks}, muss also der neuen CA vertrauen."},
	unknownForCA: {"It is not known how it checks certificates.",
		"Es ist nicht bekannt, wie es Zertifikate prüft."},
	asksForNone: {"Nothing to do: it asks for no certificate.",
		"Nichts zu tun: Es verlangt kein Zertifikat."},
	accepts: {"Nothing to do: it accepts the new certificate{answer}.",
		"Nichts zu tun: Es akzeptiert das neue Zertifikat{answer}."},
	refusesThoughClaimed: {"You reported the new certificate as installed, but the receiver still refuses it{answer}. " +
		"Call its administrator: it must be installed {by}{because}.",
		"Sie haben das neue Zertifikat als installiert gemeldet, aber das System lehnt es noch ab{answer}. Rufen Sie den " +
			"Ansprechpartner an: Es muss {by} installiert werden{because}."},
	refusesOnly: {"It gets only the new certificate and refuses it{answer}: messages fail until it is installed.",
		"Es erhält nur das neue Zertifikat und lehnt es ab{answer}: Nachrichten schlagen fehl, bis es installiert ist."},
	onlySurvives: {"It gets only the new certificate. It checks {checks}, which stays the same. Test it to be sure.",
		"Es erhält nur das neue Zertifikat. Es prüft {checks}, und das bleibt gleich. Testen Sie es sicherheitshalber."},
	onlyNeedsChange: {"It gets only the new certificate. It checks {checks}, so the new one has to be installed today.",
		"Es erhält nur das neue Zertifikat. Es prüft {checks}, daher muss das neue heute installiert werden."},
	onlyUnknown: {"It gets only the new certificate, and is not known to accept it. Test it, or have the certificate " +
		"installed today.",
		"Es erhält nur das neue Zertifikat, und es ist nicht bekannt, ob es das akzeptiert. Testen Sie es, oder lassen Sie " +
			"das Zertifikat heute installieren."},
	refuses: {"It refuses the new certificate{answer}. Call its administrator: it must be installed {by}{because}.",
		"Es lehnt das neue Zertifikat ab{answer}. Rufen Sie den Ansprechpartner an: Es muss {by} installiert " +
			"werden{because}."},
	claimedOnly: {"You reported the new certificate as installed, but nothing proves it yet. Test it {by}{because}.",
		"Sie haben das neue Zertifikat als installiert gemeldet, aber noch nichts belegt es. Testen Sie es {by}{because}."},
	survives: {"It checks {checks}, which stays the same, so nothing has to be installed. It has not been tested yet: " +
		"test it to be sure.",
		"Es prüft {checks}, und das bleibt gleich. Es muss nichts installiert werden. Getestet ist es noch nicht: Testen " +
			"Sie es sicherheitshalber."},
	needsChange: {"It checks {checks}, so the new one must be installed {by}{because}.",
		"Es prüft {checks}, daher muss das neue {by} installiert werden{because}."},
	isUnknown: {"It is not known whether it accepts the new certificate. Test it {by}{because}.",
		"Es ist nicht bekannt, ob es das neue Zertifikat akzeptiert. Testen Sie es {by}{because}."},
	simplyConcerned: {"It gets this certificate.",
		"Es erhält dieses Zertifikat."},
}

// advice returns the words for an advice about a receiver.
func (r Reader) advice(said advice, a Affected) string {
	text := adviceTexts[said]
	answer := ""
	switch {
	case a.Answer == "":
	case a.AnsweredAt.IsZero():
		answer = " (" + a.Answer + ")"
	default:
		answer = " (" + a.Answer + ", " + r.Day(a.AnsweredAt) + ")"
	}
	by, because := r.german("by ", "bis ")+r.Local(a.Deadline), ""
	if a.Exposed || a.Deadline.IsZero() {
		by, because = r.german("today", "heute"), r.german(", because messages depend on it now",
			", denn Nachrichten hängen jetzt davon ab")
	}
	return strings.NewReplacer("{checks}", a.Checks, "{answer}", answer, "{by}", by, "{because}", because).Replace(
		r.german(text[0], text[1]))
}

// checkNames name what a receiver compares, to follow "it checks", in English and in German.
var checkNames = map[tenancy.Identifier][2]string{
	tenancy.ByCertificate:  {"the whole certificate", "das ganze Zertifikat"},
	tenancy.ByIssuerSerial: {"the issuer and the serial number", "den Aussteller und die Seriennummer"},
	tenancy.ByKey:          {"the public key", "den öffentlichen Schlüssel"},
	tenancy.BySubjectIssuer: {"the subject and the issuer",
		"das Subject und den Aussteller"},
	tenancy.BySubject: {"the subject", "das Subject"},
	tenancy.BySAN:     {"the subject alternative name", "den Subject Alternative Name"},
	tenancy.ByCA: {"only that a trusted CA has signed the certificate",
		"nur, ob eine vertraute CA das Zertifikat signiert hat"},
	tenancy.ByNewestOnly: {"the subject and the issuer, and accepts only the newest certificate",
		"das Subject und den Aussteller, akzeptiert aber nur das neueste Zertifikat"},
}

// checks names what a receiver compares.
func (r Reader) checks(by []tenancy.Identifier) string {
	names := make([]string, len(by))
	for i, id := range by {
		names[i] = r.german(checkNames[id][0], checkNames[id][1])
	}
	return strings.Join(names, r.german(", and ", " und "))
}
