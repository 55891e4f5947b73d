package words

// germanAuthorities holds the texts about CAs and the rules of the installation.
var germanAuthorities = []translation{
	{"%s with the present certificate, so that there is nothing to compare with",
		"%s mit dem jetzigen Zertifikat, daher gibt es nichts zum Vergleich"},
	{"TLS accepts a certificate of the new CA, and refuses the connection without one",
		"TLS akzeptiert ein Zertifikat der neuen CA und lehnt die Verbindung ohne Zertifikat ab"},
	{"the TLS handshake succeeded, which proves nothing: give the arrangement a probe",
		"der TLS-Handshake ist gelungen, was nichts belegt: Geben Sie der Vereinbarung eine Testanfrage"},
	{"%s as with the present certificate, and %s without one", "%s wie mit dem jetzigen Zertifikat, und %s ohne"},
	{"%s with and without a certificate, which proves nothing: choose another probe",
		"%s mit und ohne Zertifikat, was nichts belegt: Wählen Sie eine andere Testanfrage"},
	{"%s, and %s with the present certificate", "%s, und %s mit dem jetzigen Zertifikat"},
	{"TLS accepts a certificate of the new CA. The application answers %s, because it identifies single certificates",
		"TLS akzeptiert ein Zertifikat der neuen CA. Die Anwendung antwortet %s, weil sie einzelne Zertifikate erkennt"},
	{"%s: the receiver identifies single certificates, so the CA makes no difference",
		"%s: Der Empfänger erkennt einzelne Zertifikate, daher spielt die CA keine Rolle"},
	{"%s, and %s with the present certificate: this proves nothing about the new CA",
		"%s, und %s mit dem jetzigen Zertifikat: Das belegt nichts über die neue CA"},
	{"the tenant has no certificate to compare with", "der Mandant hat kein Zertifikat zum Vergleich"},
	{"the receiver names the new CA among those that it accepts",
		"der Empfänger nennt die neue CA unter denen, die er akzeptiert"},
	{"the receiver accepts only the newest certificate, so testing it would lock out the present one",
		"der Empfänger akzeptiert nur das neueste Zertifikat, ein Test würde daher das jetzige aussperren"},
	{"%s", "%s"},
	{
		"%s is an issuing CA, which the service signs with: export its root",
		"%s ist eine ausstellende CA, mit der der Dienst signiert: Exportieren Sie ihre Root",
	},
	{
		"%s is not a root of this service: see perennial authority list",
		"%s ist keine Root dieses Dienstes: siehe perennial authority list",
	},
	{"%s is not announced: see perennial authority list", "%s ist nicht angekündigt: siehe perennial authority list"},
	{"%s: %v", "%s: %v"},
	{
		"%s: the request %s was made with another key or other names",
		"%s: Der Antrag %s wurde mit einem anderen Schlüssel oder anderen Namen gestellt",
	},
	{"%v", "%v"},
	{"a tenant or a credential has the key type %s: %v", "Ein Mandant oder Credential hat den Schlüsseltyp %s: %v"},
	{
		"has a self-signed certificate for the requested key: have your root sign the request",
		"enthält ein selbst signiertes Zertifikat für den beantragten Schlüssel: Lassen Sie Ihre Root den Antrag " +
			"signieren",
	},
	{"has fewer than %d characters", "hat weniger als %d Zeichen"},
	{
		"has no certificate for the key of the open request: have your root sign the request of \"perennial authority " +
			"csr\", and install the result",
		"enthält kein Zertifikat für den Schlüssel des offenen Antrags: Lassen Sie Ihre Root den Antrag aus „perennial " +
			"authority csr“ signieren, und installieren Sie das Ergebnis",
	},
	{"is in the past", "liegt in der Vergangenheit"},
	{
		"lacks the certificate of %s, which signed %s: include every certificate up to the self-signed root",
		"enthält das Zertifikat von %s nicht, das %s signiert hat: Fügen Sie jedes Zertifikat bis zur selbst " +
			"signierten Root bei",
	},
	{
		"leads to certificates that receivers refuse (%v): have the request signed with the extensions that it asks " +
			"for, by a CA whose constraints allow clients of %s",
		"führt zu Zertifikaten, die Empfänger ablehnen (%v): Lassen Sie den Antrag mit den beantragten Erweiterungen " +
			"signieren, von einer CA, deren Constraints Clients von %s zulassen",
	},
	{
		"no new CA is announced, so there is nothing to trust yet",
		"Es ist keine neue CA angekündigt, es gibt also noch nichts, dem zu vertrauen wäre",
	},
	{
		"no request for an issuing CA is open: create one with \"perennial authority csr\", and have your root sign it",
		"Es ist kein Antrag für eine ausstellende CA offen: Erstellen Sie einen mit „perennial authority csr“, und " +
			"lassen Sie ihn von Ihrer Root signieren",
	},
	{
		"the issuer manages its authorities itself: announce new ones there",
		"Der Aussteller verwaltet seine CAs selbst: Kündigen Sie neue dort an",
	},
	{
		"the issuing CA %s is already announced and signs from %s on",
		"Die ausstellende CA %s ist schon angekündigt und signiert ab %s",
	},
	{"the key of the root %s is in this service already", "Der Schlüssel der Root %s ist schon in diesem Dienst"},
	{
		"the key of the root %s is no longer in this service: use the file of its export",
		"Der Schlüssel der Root %s ist nicht mehr in diesem Dienst: Verwenden Sie die Datei seines Exports",
	},
	{
		"the key of the root %s is not in this service, so its revocation list is published elsewhere",
		"Der Schlüssel der Root %s ist nicht in diesem Dienst, ihre Sperrliste wird also anderswo veröffentlicht",
	},
	{
		"the key of the root %s is not in this service: have the root sign the request of \"perennial authority csr\", " +
			"and install the signed chain with \"perennial authority install\", or announce an authority below a new " +
			"root of the service (--new-root)",
		"Der Schlüssel der Root %s ist nicht in diesem Dienst: Lassen Sie die Root den Antrag aus „perennial authority " +
			"csr“ signieren, und installieren Sie die Kette mit „perennial authority install“, oder kündigen Sie eine " +
			"CA unter einer neuen Root des Dienstes an (--new-root)",
	},
	{
		"the keys of the tenants are made in a PKCS#11 token, and %s keys are not supported there: use p256, p384, " +
			"p521, rsa2048, rsa3072 or rsa4096",
		"Die Schlüssel der Mandanten entstehen in einem PKCS#11-Token, das keine %s-Schlüssel unterstützt: Verwenden " +
			"Sie p256, p384, p521, rsa2048, rsa3072 oder rsa4096",
	},
	{
		"the policy %s has rules about the M-user, so M-users cannot be off: choose another policy first (perennial " +
			"rules change --policy perennial)",
		"Das Regelwerk %s hat Regeln zum M-User, M-User lassen sich also nicht abschalten: Wählen Sie zuerst ein " +
			"anderes Regelwerk (perennial rules change --policy perennial)",
	},
	{
		"the proof is not a signature by the key of the root %s: the export cannot be used, and the key stays in the " +
			"service",
		"Der Nachweis ist keine Signatur mit dem Schlüssel der Root %s: Der Export ist unbrauchbar, und der Schlüssel " +
			"bleibt im Dienst",
	},
	{
		"the root %s was not created by this service, which never has its key",
		"Die Root %s wurde nicht von diesem Dienst erstellt; er hat ihren Schlüssel nie",
	},
	{
		"the service's own certificate is below its root (--tls self): start it with --tls-cert and --tls-key before " +
			"you take the key of a root offline",
		"Das eigene Zertifikat des Dienstes ist von seiner Root ausgestellt (--tls self): Starten Sie ihn mit " +
			"--tls-cert und --tls-key, bevor Sie den Schlüssel einer Root offline nehmen",
	},
	{
		"the trust domain cannot change from %q to %q: the CAs of this installation are constrained to it, so that " +
			"receivers would refuse certificates of another one",
		"Die Trust Domain lässt sich nicht von %q in %q ändern: Die CAs dieser Installation sind darauf beschränkt, " +
			"Empfänger würden Zertifikate einer anderen ablehnen",
	},
	{"there is no authority %s", "Es gibt keine CA %s"},
	{"there is no issuer %s: the file has %s", "Es gibt keinen Aussteller %s: Die Datei enthält %s"},
	{
		"this database has no rules yet: start the service with --%s once",
		"Diese Datenbank hat noch keine Regeln: Starten Sie den Dienst einmal mit --%s",
	},
	{"unknown CA %s", "Unbekannte CA %s"},
}
