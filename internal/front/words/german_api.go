package words

// germanAPI holds the texts of the API.
var germanAPI = []translation{
	{
		"the request is open because of a fault: the operators of the service see the cause",
		"Der Antrag ist wegen einer Störung offen: Die Operatoren des Dienstes sehen die Ursache",
	},
	{
		"the key that signs this is not available now: try again later",
		"Der Schlüssel für diese Signatur ist gerade nicht verfügbar: Versuchen Sie es später erneut",
	},
	{
		"%d certificates have a SHA-256 that begins with %s: give more digits, or --partner",
		"Bei %d Zertifikaten beginnt der SHA-256 mit %s: Geben Sie mehr Stellen an, oder --partner",
	},
	{
		"%d certificates of the last run are not renewed yet: %s",
		"%d Zertifikate des letzten Laufs sind noch nicht erneuert: %s",
	},
	{
		"%q is not a system of the watched certificate %s: add it there first",
		"%q ist kein System des beobachteten Zertifikats %s: Fügen Sie es dort zuerst hinzu",
	},
	{"%q is too short: search for at least %d characters", "%q ist zu kurz: Suchen Sie nach mindestens %d Zeichen"},
	{"%s %s already exists", "%s %s gibt es schon"},
	{
		"%s has an account already: ask an operator for another token",
		"%s hat schon ein Konto: Bitten Sie einen Operator um ein anderes Token",
	},
	{"%s has been renewed", "%s wurde erneuert"},
	{"%s has no credential %s", "%s hat kein Credential %s"},
	{"%s has no credential %s: add it first", "%s hat kein Credential %s: Fügen Sie es zuerst hinzu"},
	{"%s is going to expire soon", "%s läuft bald ab"},
	{
		"%s is not known to accept the new certificate",
		"Von %s ist nicht bekannt, ob das neue Zertifikat akzeptiert wird",
	},
	{"%s must be requested by hand", "%s muss von Hand beantragt werden"},
	{"%s refuses the new certificate", "%s lehnt das neue Zertifikat ab"},
	{
		"%s refuses the new certificate in %d of %d arrangements",
		"%s lehnt das neue Zertifikat in %d von %d Vereinbarungen ab",
	},
	{
		"%s: no message can be sent in %d of %d arrangements, because the certificate is revoked and the CA has not " +
			"issued the next one",
		"%s: In %d von %d Vereinbarungen kann keine Nachricht gesendet werden, weil das Zertifikat widerrufen ist und die " +
			"CA das nächste noch nicht ausgestellt hat",
	},
	{"%s: %d tenants wait for the same administrator", "%s: %d Mandanten warten auf denselben Ansprechpartner"},
	{"%s: every receiver accepts the new one", "%s: Jeder Empfänger akzeptiert das neue"},
	{"%s: receivers are not ready for the new one", "%s: Empfänger sind für das neue noch nicht bereit"},
	{"%s: the new one differs from the one before", "%s: Das neue unterscheidet sich vom bisherigen"},
	{
		"%s: the old one has expired, and receivers are not ready",
		"%s: Das alte ist abgelaufen, und Empfänger sind nicht bereit",
	},
	{"A new CA will issue your certificates", "Eine neue CA wird Ihre Zertifikate ausstellen"},
	{"Certificate %s", "Zertifikat %s"},
	{
		"If-Match %s is not an ETag of this service: read the object again",
		"If-Match %s ist kein ETag dieses Dienstes: Lesen Sie das Objekt erneut",
	},
	{"M-user Certificate", "M-User-Zertifikat"},
	{"Tenant Certificate", "Mandantenzertifikat"},
	{"The certificate %s has been renewed", "Das Zertifikat %s wurde erneuert"},
	{"The certificate %s needs attention", "Das Zertifikat %s braucht Aufmerksamkeit"},
	{"The certificate %s will be renewed by its owner", "Das Zertifikat %s wird von seinem Inhaber erneuert"},
	{
		"The hosting team must fix what the mail server refuses. Mails wait until then.",
		"Das Hosting-Team muss beheben, was der Mailserver ablehnt. Bis dahin warten die Mails.",
	},
	{
		"Mails are not configured on this installation. The hosting team can do that. Mails wait until then.",
		"Mails sind in dieser Installation nicht eingerichtet. Das Hosting-Team kann das tun. Bis dahin warten die Mails.",
	},
	{
		"a folder of the service's machine can only be set by an operator: use a URL or a server, or upload new " +
			"certificates",
		"Einen Ordner auf der Maschine des Dienstes kann nur ein Operator angeben: Verwenden Sie eine URL oder einen " +
			"Server, oder laden Sie neue Zertifikate hoch",
	},
	{"a mail server is configured", "Ein Mailserver ist eingerichtet"},
	{"cannot be changed: it is %s", "lässt sich nicht ändern: Der Wert ist %s"},
	{
		"cannot be changed: it is %s. Create another arrangement for %s",
		"lässt sich nicht ändern: Der Wert ist %s. Legen Sie eine andere Vereinbarung für %s an",
	},
	{
		"cannot be changed: receivers map the names of the existing certificates. Add another credential, and create " +
			"arrangements that use it",
		"lässt sich nicht ändern: Empfänger ordnen die Namen der bestehenden Zertifikate zu. Fügen Sie ein weiteres " +
			"Credential hinzu, und legen Sie Vereinbarungen damit an",
	},
	{
		"certificates of partners that need your decision: %d",
		"Zertifikate von Partnern, die Ihre Entscheidung erfordern: %d",
	},
	{"every receiver accepts the new certificate", "Jeder Empfänger akzeptiert das neue Zertifikat"},
	{"feeds that are no longer fetched: %d", "Feeds, die nicht mehr abgerufen werden: %d"},
	{
		"%s is not a run date of the policy %s: the run dates before and after it are %s and %s",
		"%s ist kein Laufdatum der Richtlinie %s: Die Laufdaten davor und danach sind %s und %s",
	},
	{"generation %d is not available to %s", "Die Generation %d steht %s nicht zur Verfügung"},
	{
		"generation %d is not available to %s: usable generations: %s",
		"Die Generation %d steht %s nicht zur Verfügung: nutzbare Generationen: %s",
	},
	{
		"hosts that several tenants name, which may be one counterparty: %d",
		"Hosts, die mehrere Mandanten nennen und die eine Gegenpartei sein können: %d",
	},
	{"internal error: see the service's log", "Interner Fehler: siehe das Log des Dienstes"},
	{
		"invalid fingerprint %q: use at least the first 8 digits of the SHA-256",
		"Ungültiger Fingerabdruck %q: Verwenden Sie mindestens die ersten 8 Stellen des SHA-256",
	},
	{"invalid issuer %q: use an https URL", "Ungültiger Aussteller %q: Verwenden Sie eine https-URL"},
	{"is before 1970", "liegt vor 1970"},
	{"is not a cursor of this service", "ist kein Cursor dieses Dienstes"},
	{"is not a valid URL", "ist keine gültige URL"},
	{"mails that failed for good: %d", "Endgültig fehlgeschlagene Mails: %d"},
	{"must be at most 30 days", "darf höchstens 30 Tage sein"},
	{
		"must be in the future and at most one year from now",
		"muss in der Zukunft liegen, höchstens ein Jahr von jetzt an",
	},
	{"no certificate of %s has this fingerprint", "Kein Zertifikat von %s hat diesen Fingerabdruck"},
	{
		"no guard runs in this service: start it with --guard FILE",
		"In diesem Dienst läuft kein Guard: Starten Sie ihn mit --guard DATEI",
	},
	{
		"no issuer of identity tokens is configured: start the service and the gateways with --workload-issuer URL",
		"Es ist kein Aussteller von Identitätstokens eingerichtet: Starten Sie Dienst und Gateways mit " +
			"--workload-issuer URL",
	},
	{
		"no mail is sent, because the mail server refuses this installation: %s",
		"Es werden keine Mails gesendet, weil der Mailserver diese Installation ablehnt: %s",
	},
	{
		"no mail server is configured: start the service with --smtp first",
		"Es ist kein Mailserver eingerichtet: Starten Sie den Dienst zuerst mit --smtp",
	},
	{"only %s can change this", "Nur %s kann das ändern"},
	{
		"receiver %s is used by an arrangement: delete the arrangement first",
		"Der Empfänger %s wird von einer Vereinbarung verwendet: Löschen Sie zuerst die Vereinbarung",
	},
	{
		"settled roll-overs are listed for one tenant only, at /tenants/TENANT/rollovers",
		"abgeschlossene Umstellungen werden nur für einen Mandanten aufgelistet, unter /tenants/TENANT/rollovers",
	},
	{
		"state the issuer of the workload's identity tokens: %d issuers are configured",
		"Geben Sie den Aussteller der Identitätstokens des Workloads an: %d sind eingerichtet",
	},
	{
		"state the workload, such as system:serviceaccount:NAMESPACE:NAME",
		"Geben Sie den Workload an, etwa system:serviceaccount:NAMESPACE:NAME",
	},
	{
		"tenants without a key user, so that no person is warned: %d",
		"Mandanten ohne Key-User, so dass keine Person gewarnt wird: %d",
	},
	{"the CA has issued the certificate", "Die CA hat das Zertifikat ausgestellt"},
	{
		"the CAs of these certificates are not known, because they were imported without their chain",
		"Die CAs dieser Zertifikate sind nicht bekannt, weil sie ohne ihre Kette importiert wurden",
	},
	{"the certificate has been renewed", "Das Zertifikat wurde erneuert"},
	{"the certificate was revoked", "Das Zertifikat wurde widerrufen"},
	{
		"the contacts have been changed in the meantime: read them again",
		"Die Kontakte wurden inzwischen geändert: Lesen Sie sie erneut",
	},
	{
		"the decision is stored, but the certificate has expired",
		"Die Entscheidung ist gespeichert, aber das Zertifikat ist abgelaufen",
	},
	{"the first certificate cannot be read: %v", "Das erste Zertifikat ist nicht lesbar: %v"},
	{
		"the first renewals of %d imported certificates change what receivers may check: read the plan of the import, " +
			"then apply it with accept_changes (--accept-changes)",
		"Die ersten Erneuerungen von %d importierten Zertifikaten ändern, was Empfänger prüfen können: Lesen Sie den " +
			"Plan des Imports, und wenden Sie ihn dann mit accept_changes an (--accept-changes)",
	},
	{
		"the fleet is being counted for the first time since the start: try again in a moment",
		"Der Bestand wird zum ersten Mal seit dem Start gezählt: Versuchen Sie es gleich noch einmal",
	},
	{
		"the guard has not seen a certificate with the SHA-256 %s: perennial guard status lists those that it has " +
			"seen",
		"Ein Zertifikat mit dem SHA-256 %s hat der Guard nicht gesehen: perennial guard status listet die gesehenen auf",
	},
	{
		"the certificate %s of %s is accepted already: the configuration of the guard lists it",
		"Das Zertifikat %s von %s wird schon angenommen: Die Konfiguration des Guards enthält es",
	},
	{
		"the configuration of the guard lists the certificate %s as known of %s: remove it there to refuse it. A " +
			"running guard follows within ten seconds",
		"Die Konfiguration des Guards enthält das Zertifikat %s als bekanntes von %s: Entfernen Sie es dort, um es " +
			"abzulehnen. Ein laufender Guard folgt innerhalb von zehn Sekunden",
	},
	{"the link is not valid", "Der Link ist nicht gültig"},
	{"the mail server accepts mails of this installation", "Der Mailserver nimmt Mails dieser Installation an"},
	{"the plan has no tenant %q", "Im Plan gibt es keinen Mandanten %q"},
	{"the request has no session", "Die Anfrage hat keine Sitzung"},
	{"the request was cancelled before it was completed", "Die Anfrage wurde abgebrochen, bevor sie fertig war"},
	{"the root must sign the next issuing CA", "Die Root muss die nächste ausstellende CA signieren"},
	{
		"the token %s is bound to the workload %s, whose platform rotates its identity tokens: there is nothing to " +
			"rotate here",
		"Das Token %s ist an den Workload %s gebunden, dessen Plattform seine Identitätstokens rotiert: Hier ist nichts " +
			"zu rotieren",
	},
	{
		"the token %s is no longer valid: create a new one",
		"Das Token %s ist nicht mehr gültig: Erstellen Sie ein neues",
	},
	{
		"the token of a workload does not expire: revoke it",
		"Das Token eines Workloads läuft nicht ab: Widerrufen Sie es",
	},
	{
		"the watched certificate %s of %s has %d links, which is the maximum: revoke one first",
		"Das beobachtete Zertifikat %s von %s hat %d Links, mehr sind nicht möglich: Widerrufen Sie zuerst einen",
	},
	{
		"the workload %s of %s already has a token: revoke it first",
		"Der Workload %s von %s hat schon ein Token: Widerrufen Sie es zuerst",
	},
	{
		"there is no certificate: upload it, or name a source that shows it",
		"Es wurde kein Zertifikat angegeben: Laden Sie es hoch, oder nennen Sie eine Quelle, die es zeigt",
	},
	{"there is no project %s", "Es gibt kein Projekt %s"},
	{"there is no question %s", "Es gibt keine Frage %s"},
	{"there is no receiver %s: create it first", "Es gibt keinen Empfänger %s: Legen Sie ihn zuerst an"},
	{"there is no such calendar", "Diesen Kalender gibt es nicht"},
	{"there is no such passkey", "Diesen Passkey gibt es nicht"},
	{"there is no tenant %s", "Es gibt keinen Mandanten %s"},
	{"there is no valid session", "Es gibt keine gültige Sitzung"},
	{
		"this import has %d problems: fix the files and check them again",
		"Dieser Import hat %d Probleme: Korrigieren Sie die Dateien und prüfen Sie sie erneut",
	},
	{
		"this import is %s: only an import that is %s can be %s",
		"Dieser Import ist im Zustand %s: Nur ein Import im Zustand %s lässt sich in den Zustand %s bringen",
	},
	{
		"this import was checked more than a day ago, and its plan has been deleted: check the files again",
		"Dieser Import wurde vor mehr als einem Tag geprüft, und der Plan ist gelöscht: Prüfen Sie die Dateien erneut",
	},
	{"is not a report about a mail (RFC 3464): %v", "ist kein Bericht über eine Mail (RFC 3464): %v"},
	{
		"mails to %s were resumed today already: try again tomorrow",
		"Die Mails an %s wurden heute schon wieder aufgenommen: Versuchen Sie es morgen noch einmal",
	},
	{"mails to the administrator of %s are not stopped", "Mails an den Ansprechpartner von %s sind nicht abbestellt"},
	{"belongs to a list in another order: begin with the first page",
		"gehört zu einer Liste in anderer Reihenfolge: Beginnen Sie mit der ersten Seite"},
	{"unknown order %s", "nach %s kann nicht sortiert werden"},
	{"%s has no such contact", "%s hat diesen Kontakt nicht"},
	{"mails to %s are not stopped", "Mails an %s sind nicht gestoppt"},
	{
		"%s wants no more mails, and can undo that with the link in the last mail: add another contact of %s",
		"%s will keine Mails mehr und kann das mit dem Link in der letzten Mail rückgängig machen: Fügen Sie einen anderen " +
			"Kontakt von %s hinzu",
	},
	{
		"%s wants no more mails, and can undo that with the link in the last mail: name another administrator of %s",
		"%s will keine Mails mehr und kann das mit dem Link in der letzten Mail rückgängig machen: Nennen Sie einen " +
			"anderen Ansprechpartner von %s",
	},
	{
		"The administrator %s gets no more mails: name another one",
		"Der Ansprechpartner %s erhält keine Mails mehr: Nennen Sie einen anderen",
	},
	{"this link is no longer valid", "Dieser Link ist nicht mehr gültig"},
	{
		"the certificate has been renewed since this page was shown: load it again, and install the new one",
		"Das Zertifikat wurde erneuert, seit diese Seite angezeigt wurde: Laden Sie sie neu, und installieren Sie das neue",
	},
	{
		"this mail is %s: only a dead mail can be queued again",
		"Diese Mail ist im Zustand %s: Nur eine endgültig fehlgeschlagene lässt sich erneut einreihen",
	},
	{
		"none of the chosen tenants has a receiver at risk: there is nothing to test",
		"Keiner der gewählten Mandanten hat einen gefährdeten Empfänger: Es gibt nichts zu testen",
	},
	{"only tenants at risk have a deadline: use the filter at-risk",
		"nur gefährdete Mandanten haben eine Frist: Verwenden Sie den Filter at-risk"},
	{"tenants at risk are sorted by deadline, name or created",
		"gefährdete Mandanten werden nach deadline, name oder created sortiert"},
	{
		"the selection has %d arrangements at risk, and an action takes at most %d: choose a host, or tenants by name",
		"die Auswahl hat %d gefährdete Vereinbarungen, und eine Aktion umfasst höchstens %d: Wählen Sie einen Host, oder " +
			"Mandanten einzeln",
	},
	{"this needs an operator's token", "Dafür ist das Token eines Operators nötig"},
	{"this service does not import fleets", "Dieser Dienst importiert keine Bestände"},
	{"tokens of senders and gateways that expire: %d", "Tokens von Sendern und Gateways, die ablaufen: %d"},
	{
		"you report generation %d as installed at the receiver of %s, but it still answers %s: check the installation " +
			"there, and confirm again",
		"Sie melden Generation %d beim Empfänger von %s als installiert, er antwortet aber weiter mit %s: Prüfen Sie " +
			"dort die Installation, und bestätigen Sie erneut",
	},
}
