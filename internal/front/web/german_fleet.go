package web

// germanFleet holds the German texts of the pages of the hosting team.
var germanFleet = []translation{
	{"%s %% of the lifetime", "%s %% der Laufzeit"},
	{"on day %d of every month at %s", "am %d. jedes Monats um %s"},
	{"every %s at %s", "jeden %s um %s"},
	{"every day at %s", "täglich um %s"},
	{
		"our default: renews as published, warns early enough for every renewal",
		"unsere Vorgabe: erneuert wie veröffentlicht, warnt rechtzeitig vor jeder Erneuerung",
	},
	{"SAP KBA 2585332, as of November 2024", "SAP KBA 2585332, Stand November 2024"},
	{"SAP KBA 2585332, early version", "SAP KBA 2585332, frühe Fassung"},
	{"SAP KBA 2585332, later version", "SAP KBA 2585332, spätere Fassung"},
	{"for certificates of 7 to 90 days", "für Zertifikate mit 7 bis 90 Tagen Laufzeit"},
	{"%s of %s tenants imported", "%s von %s Mandanten importiert"},
	{
		"%s has its first certificates. Next, add its people and an arrangement.",
		"%s hat die ersten Zertifikate. Legen Sie als Nächstes Personen und eine Vereinbarung an.",
	},
	{"%s of renewals come without a warning", "%s der Erneuerungen erfolgen ohne Warnung"},
	{"%s, renewals: %d", "%s, Erneuerungen: %d"},
	{"%s, warnings: %d", "%s, Warnungen: %d"},
	{
		"A new CA has been announced. It starts signing on %s.",
		"Eine neue CA wurde angekündigt. Sie signiert ab dem %s.",
	},
	{"Active", "Aktiv"},
	{"All", "Alle"},
	{
		"All %d entries have been verified: none is missing or changed.",
		"Alle %d Einträge wurden geprüft: Keiner fehlt, keiner wurde verändert.",
	},
	{"All CA certificates (PEM)", "Alle CA-Zertifikate (PEM)"},
	{"Announced", "Angekündigt"},
	{"Answer", "Antwort"},
	{"Arrangement", "Vereinbarung"},
	{"Arrangements (CSV)", "Vereinbarungen (CSV)"},
	{"As of today, nothing is due in this run.", "Nach heutigem Stand ist in diesem Lauf nichts fällig."},
	{"Attempts", "Versuche"},
	{"Certificate", "Zertifikat"},
	{"Certificate %s", "Zertifikat %s"},
	{"M-user Certificate", "M-User-Zertifikat"},
	{"Tenant Certificate", "Mandantenzertifikat"},
	{
		"Certificates of new tenants, with their private keys",
		"Zertifikate neuer Mandanten, mit ihren privaten Schlüsseln",
	},
	{"Chart", "Diagramm"},
	{"Check the files", "Dateien prüfen"},
	{"Spread the expiry of new certificates", "Ablauf neuer Zertifikate verteilen"},
	{"So that one run does not renew all of them", "Damit nicht ein einziger Lauf alle erneuert"},
	{"If more than 1,000 are issued", "Wenn mehr als 1.000 ausgestellt werden"},
	{"First renewals", "Erste Erneuerungen"},
	{"Workload", "Workload"},
	{"Never", "Nie"},
	{
		"For senders and gateways, instead of a secret: the subject of the workload's identity tokens, such as " +
			"system:serviceaccount:NAMESPACE:NAME",
		"Für Sender und Gateways, statt eines Geheimnisses: das Subject der Identitätstokens des Workloads, zum " +
			"Beispiel system:serviceaccount:NAMESPACE:NAME",
	},
	{"Run", "Lauf"},
	{"Checked, not imported yet", "Geprüft, noch nicht importiert"},
	{"Compare", "Vergleichen"},
	{"Compare two policies", "Zwei Regelwerke vergleichen"},
	{"Create", "Anlegen"},
	{"Create a tenant", "Mandanten anlegen"},
	{"Create a token", "Token erstellen"},
	{"Details", "Details"},
	{"Difference", "Unterschied"},
	{"Display name", "Anzeigename"},
	{"Does not trust it", "Vertraut der CA nicht"},
	{"Earlier imports", "Frühere Importe"},
	{"Event", "Ereignis"},
	{
		"Every change has an entry, and each entry contains the hash of the previous one. No entry can be changed " +
			"or removed unnoticed.",
		"Jede Änderung hat einen Eintrag, und jeder Eintrag enthält den Hash des vorherigen. Kein Eintrag kann " +
			"unbemerkt geändert oder entfernt werden.",
	},
	{"Example files", "Beispieldateien"},
	{"Expires", "Läuft ab"},
	{"Export as CSV", "Als CSV exportieren"},
	{"Export as JSON Lines", "Als JSON Lines exportieren"},
	{
		"Failed mails queued again: %d. Waiting mails are tried now.",
		"Fehlgeschlagene Mails erneut eingereiht: %d. Die Zustellung wartender Mails wird jetzt versucht.",
	},
	{"Try all failed mails again", "Fehlgeschlagene erneut senden"},
	{"File", "Datei"},
	{"Finished", "Abgeschlossen"},
	{"First", "Erste"},
	{
		"For example Acme GmbH. If left empty, the name is used.",
		"Zum Beispiel Acme GmbH. Bleibt das Feld leer, wird der Name verwendet.",
	},
	{"Generation", "Generation"},
	{"Key users who get mails about their tasks: %d", "Key-User, die Mails zu ihren Aufgaben erhalten: %d"},
	{
		"The scoping question is not answered with yes, so no key user gets mails (subscribed: %d).",
		"Die Scoping-Frage ist nicht mit Ja beantwortet, sodass kein Key-User eine Mail erhält (abonniert: %d).",
	},
	{"Import of %s", "Import vom %s"},
	{"Import tenants", "Mandanten importieren"},
	{
		"Import tenants, people, arrangements and their certificates from another system. The files are checked " +
			"first, and every problem is listed with its line. Nothing changes until you start the import, and you " +
			"can undo it.",
		"Importieren Sie Mandanten, Personen, Vereinbarungen und deren Zertifikate aus einem anderen System. Die " +
			"Dateien werden zuerst geprüft, und jedes Problem wird mit seiner Zeile aufgeführt. Nichts ändert sich, " +
			"bevor Sie den Import starten, und Sie können ihn rückgängig machen.",
	},
	{"Key users: %d, IT contacts: %d, arrangements: %d", "Key-User: %d, IT-Kontakte: %d, Vereinbarungen: %d"},
	{"Certificates and their first renewal", "Zertifikate und ihre erste Erneuerung"},
	{"Adds", "Kommt hinzu"},
	{"Warned on %s: %d", "Gewarnt am %s: %d"},
	{"No key user to warn", "Kein Key-User zu warnen"},
	{"Plan", "Plan"},
	{"New tenant.", "Neuer Mandant."},
	{"New certificates are issued.", "Neue Zertifikate werden ausgestellt."},
	{"No earlier warning", "Keine vorherige Warnung"},
	{"No IT contact to warn", "Kein IT-Kontakt zu warnen"},
	{"valid until %s, renewed on %s", "gültig bis %s, erneuert am %s"},
	{"Root", "Root"},
	{"Encoding of the tables", "Zeichensatz der Tabellen"},
	{"The file %s is empty.", "Die Datei %s ist leer."},
	{"There are more than %d files. Import them in parts.", "Es sind mehr als %d Dateien. Importieren Sie sie in Teilen."},
	{"Issuer", "Aussteller"},
	{"Alternative names", "Alternative Namen"},
	{
		"First renewals change what receivers may check (certificates: %d). I have read the plan below.",
		"Erste Erneuerungen ändern, was Empfänger prüfen können (Zertifikate: %d). Ich habe den Plan unten gelesen.",
	},
	{"Imported", "Importiert"},
	{"Importing", "Wird importiert"},
	{
		"In use: signs certificates. Announced: will sign later, so that receivers can trust it first. Replaced: no " +
			"longer signs. Revoked: no longer signs, and its certificates are renewed.",
		"Verwendet: signiert Zertifikate. Angekündigt: signiert später, damit Empfänger ihr vorher vertrauen " +
			"können. Ersetzt: signiert nicht mehr. Widerrufen: signiert nicht mehr, und ihre Zertifikate werden erneuert.",
	},
	{"Intact up to no. %d", "Unversehrt bis Nr. %d"},
	{"Key type", "Schlüsseltyp"},
	{"Key user", "Key-User"},
	{"Last error", "Letzter Fehler"},
	{"Late", "Verspätet"},
	{"Line", "Zeile"},
	{"Message", "Nachricht"},
	{"Month", "Monat"},
	{"Next attempt", "Nächster Versuch"},
	{"No entries found.", "Keine Einträge gefunden."},
	{
		"No mails. Mails are sent with notices, to subscribed key users and to IT contacts.",
		"Keine Mails. Mails werden mit Benachrichtigungen gesendet, an Key-User mit Abonnement und an IT-Kontakte.",
	},
	{"At most", "Höchstens"},
	{"No parked messages.", "Keine geparkten Nachrichten."},
	{
		"No receiver is at risk: all of them are known to accept the newest certificate. Receivers at risk are " +
			"listed here by time left.",
		"Kein Empfänger ist gefährdet: Alle akzeptieren nachweislich das neueste Zertifikat. Gefährdete Empfänger werden " +
			"hier nach verbleibender Zeit aufgeführt.",
	},
	{
		"No runs yet. The first one is on the first day of next month.",
		"Noch keine Läufe. Der erste ist am Ersten des nächsten Monats.",
	},
	{
		"No tenants yet. A tenant gets its certificates when it is created, and they are renewed from then on.",
		"Noch keine Mandanten. Ein Mandant erhält seine Zertifikate beim Anlegen, und sie werden danach automatisch " +
			"erneuert.",
	},
	{"No.", "Nr."},
	{"Not verified since the service started", "Seit dem Start des Dienstes nicht geprüft"},
	{
		"Nothing was changed. Fix the files and check them again.",
		"Es wurde nichts geändert. Korrigieren Sie die Dateien, und prüfen Sie sie erneut.",
	},
	{"Object", "Objekt"},
	{"Only for senders and key users", "Nur für Sender und Key-User"},
	{"Only for the token of a key user", "Nur für das Token eines Key-Users"},
	{"Or explore a sample fleet first:", "Oder sehen Sie sich zuerst einen Beispielbestand an:"},
	{
		"PEM or PKCS#12, named TENANT.pem or TENANT.p12, and TENANT.m-user.p12 for the M-user",
		"PEM oder PKCS#12, benannt MANDANT.pem oder MANDANT.p12, und MANDANT.m-user.p12 für den M-User",
	},
	{"Parked messages", "Geparkte Nachrichten"},
	{"Quotas", "Kontingente"},
	{
		"Part of URLs: lowercase letters, digits and -, for example acme",
		"Teil von URLs: Kleinbuchstaben, Ziffern und -, zum Beispiel acme",
	},
	{
		"Line %d of the passwords is not of the form FILE: PASSWORD.",
		"Zeile %d der Passwörter hat nicht die Form DATEI: PASSWORT.",
	},
	{
		"Line %d of the passwords names a file that is not among the certificates: %s",
		"Zeile %d der Passwörter nennt eine Datei, die nicht unter den Zertifikaten ist: %s",
	},
	{"For all files that are not listed below", "Für alle Dateien, die unten nicht aufgeführt sind"},
	{"One file per line, for example TENANT.p12: PASSWORD", "Eine Datei je Zeile, zum Beispiel MANDANT.p12: PASSWORT"},
	{"Password of PKCS#12 files and encrypted keys", "Passwort von PKCS#12-Dateien und verschlüsselten Schlüsseln"},
	{"Passwords of single files", "Passwörter einzelner Dateien"},
	{"People (CSV)", "Personen (CSV)"},
	{"Problem", "Problem"},
	{"Problems", "Probleme"},
	{"Problems found", "Probleme gefunden"},
	{"Purpose", "Zweck"},
	{
		"Queued: will be sent. No mail server: waits until a mail server is configured. Failed: not sent again " +
			"until you try again.",
		"In der Warteschlange: wird gesendet. Kein Mailserver: wartet, bis ein Mailserver konfiguriert ist. " +
			"Fehlgeschlagen: wird erst wieder gesendet, wenn Sie es erneut versuchen.",
	},
	{"RSA only if receivers need it", "RSA nur, wenn Empfänger es benötigen"},
	{"Receivers that may not trust the new CA yet", "Empfänger, die der neuen CA möglicherweise noch nicht vertrauen"},
	{"Renewal", "Erneuerung"},
	{"Renewals", "Erneuerungen"},
	{"Renewed", "Erneuert"},
	{"Renews", "Erneuert"},
	{"Replaced", "Ersetzt"},
	{"Revoke", "Widerrufen"},
	{"Rule", "Regel"},
	{"Run date", "Laufdatum"},
	{"Run on %s", "Lauf am %s"},
	{"Search", "Suchen"},
	{"Second", "Zweite"},
	{"See which receivers trust it", "Anzeigen, welche Empfänger ihr vertrauen"},
	{"Show", "Anzeigen"},
	{"Show as a table", "Als Tabelle anzeigen"},
	{"Signs from", "Signiert ab"},
	{"Start import", "Import starten"},
	{"State", "Zustand"},
	{"Stopped", "Gestoppt"},
	{"Subject", "Subject"},
	{"Successor announced", "Nachfolger angekündigt"},
	{"Size in MB", "Größe in MB"},
	{"Tenant", "Mandant"},
	{"Tenants (CSV)", "Mandanten (CSV)"},
	{
		"The background job cannot be turned off. It retries the unfinished part of a run every hour.",
		"Der Hintergrundjob kann nicht abgeschaltet werden. Nicht abgeschlossene Teile eines Laufs wiederholt er stündlich.",
	},
	{
		"The files are larger than %d MiB in total. Import them in parts.",
		"Die Dateien sind zusammen größer als %d MiB. Importieren Sie sie in Teilen.",
	},
	{
		"The fleet is being counted for the first time since the service started. Check back in a moment.",
		"Die Übersicht wird nach dem Start des Dienstes zum ersten Mal berechnet. Bitte rufen Sie die Seite gleich noch " +
			"einmal auf.",
	},
	{"The log is broken: %s", "Das Protokoll ist beschädigt: %s"},
	{"The mail has been queued again.", "Die Mail wurde erneut in die Warteschlange gestellt."},
	{"The next 12 months", "Die nächsten 12 Monate"},
	{"The token has been revoked.", "Das Token wurde widerrufen."},
	{"The token has been revoked. The accounts and tokens created with it have been ended too.",
		"Das Token wurde widerrufen. Auch die damit angelegten Konten und Tokens sind beendet."},
	{"These accounts and tokens were created with it, and are still valid:",
		"Diese Konten und Tokens wurden damit angelegt und sind noch gültig:"},
	{"Account %s (%s)", "Konto %s (%s)"},
	{"Token %s (%s)", "Token %s (%s)"},
	{"If the token has leaked, end them: the accounts are deleted, and the tokens are revoked.",
		"Falls das Token in fremde Hände gelangt ist, beenden Sie sie: Die Konten werden gelöscht, die Tokens widerrufen."},
	{"Key", "Schlüssel"},
	{"Elsewhere", "Nicht in diesem Dienst"},
	{"The revocation list of %s lacks %s, because the key of the root is offline. Run perennial authority root import, " +
		"then take the key offline again.",
		"In der Sperrliste von %s fehlt %s, weil der Schlüssel der Root-CA offline ist. Führen Sie perennial authority " +
			"root import aus, und nehmen Sie den Schlüssel danach wieder offline."},
	{"In the database, sealed", "Versiegelt in der Datenbank"},
	{"An issuing CA below your root", "Eine ausstellende CA unter Ihrer Root-CA"},
	{"The next issuing CA must be signed by %s, whose key is not in this service. Install it by %s.",
		"Die nächste ausstellende CA muss von %s signiert werden, deren Schlüssel nicht in diesem Dienst liegt. " +
			"Installieren Sie sie bis %s."},
	{
		"Download the request, let your root sign it, and paste the result below. The new CA is announced to every " +
			"receiver before it signs.",
		"Laden Sie den Antrag herunter, lassen Sie ihn von Ihrer Root-CA signieren, und fügen Sie das Ergebnis unten " +
			"ein. Die neue CA wird jedem Empfänger angekündigt, bevor sie signiert.",
	},
	{"Certificate with its chain up to the root (PEM)", "Zertifikat mit seiner Kette bis zur Root-CA (PEM)"},
	{"Announce", "Ankündigen"},
	{"%s has been announced. It signs from %s at the latest.",
		"%s wurde angekündigt. Sie signiert spätestens ab %s."},
	{"End them too", "Ebenfalls beenden"},
	{"Keep them", "Behalten"},
	{"The upload was incomplete. Please try again.", "Der Upload war unvollständig. Bitte versuchen Sie es erneut."},
	{
		"These messages were accepted from their senders. They are delivered in order as soon as the receiver " +
			"accepts them.",
		"Diese Nachrichten wurden von ihren Absendern angenommen. Sie werden der Reihe nach zugestellt, sobald der " +
			"Empfänger sie annimmt.",
	},
	{
		"These receivers have not been proved to accept the newest certificate. Time left: until the expiry of the last " +
			"certificate that the receiver is known to accept. Open an arrangement to see the next step.",
		"Für diese Empfänger ist nicht nachgewiesen, dass sie das neueste Zertifikat akzeptieren. Verbleibend: Zeit bis " +
			"zum Ablauf des letzten Zertifikats, das der Empfänger bekanntermaßen akzeptiert. Öffnen Sie eine Vereinbarung, " +
			"um den nächsten Schritt zu sehen.",
	},
	{
		"These rules decide when certificates are announced and renewed. The audit shows how many renewals come " +
			"without a warning once the job has issued all certificates itself.",
		"Diese Regeln bestimmen, wann Erneuerungen angekündigt und Zertifikate erneuert werden. Die Analyse zeigt, wie " +
			"viele Erneuerungen ohne Warnung erfolgen, sobald der Job alle Zertifikate selbst ausgestellt hat.",
	},
	{
		"This continues in the background. You can close this page.",
		"Der Vorgang läuft im Hintergrund weiter. Sie können diese Seite schließen.",
	},
	{
		"The successor of an issuing CA is announced before it signs. The local CA announces it a year ahead. It signs as " +
			"soon as every receiver is known to trust it, and on its date at the latest.",
		"Der Nachfolger einer ausstellenden CA wird angekündigt, bevor er signiert. Die lokale CA kündigt ihn ein Jahr im " +
			"Voraus an. Er signiert, sobald ihm nachweislich alle Empfänger vertrauen, spätestens ab dem angegebenen Datum.",
	},
	{
		"This page will show the next runs and everything that needs attention. Create a tenant first: it gets its " +
			"certificates immediately.",
		"Hier sehen Sie die nächsten Läufe und alles, was Aufmerksamkeit erfordert. Legen Sie zuerst einen Mandanten an: " +
			"Er erhält sofort seine Zertifikate.",
	},
	{"Time left", "Verbleibend"},
	{"To", "An"},
	{"Trust", "Vertrauen"},
	{"Try again", "Erneut versuchen"},
	{"Undo import", "Import rückgängig machen"},
	{"Undoing", "Wird rückgängig gemacht"},
	{
		"Undoing removes what the import created, tenant by tenant, unless a certificate was renewed or a message " +
			"was sent. It stops at the first tenant that is in use.",
		"Dabei wird Mandant für Mandant entfernt, was der Import angelegt hat, sofern kein Zertifikat erneuert und keine " +
			"Nachricht gesendet wurde. Der Vorgang stoppt beim ersten Mandanten, der bereits verwendet wird.",
	},
	{"Undone", "Rückgängig gemacht"},
	{"Unfinished", "Nicht abgeschlossen"},
	{
		"Unfinished: some due certificates are left for the next attempt.",
		"Nicht abgeschlossen: Einige fällige Zertifikate werden erst beim nächsten Versuch bearbeitet.",
	},
	{"Valid until", "Gültig bis"},
	{"Validity of new certificates", "Gültigkeit neuer Zertifikate"},
	{"Verify entire log", "Gesamtes Protokoll prüfen"},
	{"Warned", "Gewarnt"},
	{"Warning", "Warnung"},
	{"Warnings", "Warnungen"},
	{"Warns", "Warnt"},
	{"The plan of the next runs under the policy %s.", "Der Plan der nächsten Läufe mit dem Regelwerk %s."},
	{"When", "Wann"},
	{"Who", "Wer"},
	{
		"With a token for an operator or a key user, a person can also create one account for the console. Give the " +
			"token to that person, who then chooses a name and a password.",
		"Mit einem Token für Operatoren oder Key-User kann eine Person auch ein Konto für die Konsole anlegen. " +
			"Geben Sie das Token dieser Person; sie wählt dann Name und Passwort.",
	},
	{"Without a warning", "Ohne Warnung"},
	{"Without a warning, in the long run", "Ohne Warnung, langfristig"},
	{"Share of expiry dates without a warning", "Anteil aller Ablaufdaten ohne Warnung"},
	{"different", "verschieden"},
	{"never", "nie"},
	{"renewals", "Erneuerungen"},
	{"the same", "gleich"},
	{"warnings", "Warnungen"},
	{"with %s to %s left", "%s bis %s vor Ablauf"},
	{"with at most %s left", "höchstens %s vor Ablauf"},
}
