package web

// germanWatched holds the German texts of the pages about watched certificates.
var germanWatched = []translation{
	{
		"%s has renewed the certificate that it presents. Your system %s knows the old one.",
		"%s hat das eigene Zertifikat erneuert. Ihr System %s kennt das alte.",
	},
	{"%s is no longer watched.", "%s wird nicht mehr beobachtet."},
	{"%s is now watched.", "%s wird jetzt beobachtet."},
	{"%s renews it between %s and %s.", "%s erneuert es zwischen dem %s und dem %s."},
	{"%s renews it on %s.", "%s erneuert es am %s."},
	{
		"%s should have renewed it by %s, and no new one was seen.",
		"%s hätte es bis zum %s erneuern sollen, ein neues wurde aber nicht gesehen.",
	},
	{"%s: renewal by %s", "%s: Erneuerung durch %s"},
	{"%s: renewal by its owner", "%s: Erneuerung durch den Inhaber"},
	{"3. Report it", "3. Melden"},
	{
		"A partner has renewed the certificate that it presents. Your system %s knows the old one.",
		"Ein Partner hat sein Zertifikat erneuert. Ihr System %s kennt das alte.",
	},
	{"Accept it even if it has other names", "Auch mit anderen Namen akzeptieren"},
	{
		"Add the new certificate next to the old one if your system allows that.",
		"Fügen Sie das neue Zertifikat neben dem alten hinzu, wenn Ihr System das zulässt.",
	},
	{"Administrator: %s", "Ansprechpartner: %s"},
	{"Ask the owner of the certificate.", "Fragen Sie den Inhaber des Zertifikats."},
	{"By", "Durch"},
	{
		"Certificates of partners and servers that their owners renew. You get a task before a renewal, when the " +
			"new certificate is seen, and when it does not come.",
		"Zertifikate von Partnern und Servern, die deren Inhaber erneuern. Sie erhalten eine Aufgabe vor einer " +
			"Erneuerung, sobald das neue Zertifikat gesehen wird, und wenn es ausbleibt.",
	},
	{"Changed: %s", "Geändert: %s"},
	{
		"For example erp.example.com:443. Without one, you upload new certificates.",
		"Zum Beispiel erp.example.com:443. Ohne Adresse laden Sie neue Zertifikate hoch.",
	},
	{"History", "Verlauf"},
	{"How to install it", "So installieren Sie es"},
	{"I have installed it", "Installiert"},
	{
		"In your own system, look up the certificate that it accepts now. Its subject must be %s, and its issuer " +
			"must be %s. If one of them differs, do not install the new certificate.",
		"Sehen Sie in Ihrem eigenen System nach, welches Zertifikat es jetzt akzeptiert. Dessen Subject muss %s " +
			"lauten und dessen Aussteller %s. Weicht eines davon ab, installieren Sie das neue Zertifikat nicht.",
	},
	{
		"It checks %s, so it will refuse the new certificate until that is installed.",
		"Es prüft %s und lehnt das neue Zertifikat daher ab, bis es installiert ist.",
	},
	{
		"It checks %s, so the new certificate must be installed there.",
		"Es prüft %s, daher muss das neue Zertifikat dort installiert werden.",
	},
	{
		"It checks %s. It needs no change if the names and the CA stay the same.",
		"Es prüft %s. Wenn Namen und CA gleich bleiben, ist keine Änderung nötig.",
	},
	{
		"It checks %s. Whether it needs a change depends on the CAs that it trusts.",
		"Es prüft %s. Ob eine Änderung nötig ist, hängt davon ab, welchen CAs es vertraut.",
	},
	{
		"It is not known how it checks certificates. If it compares the certificate, its fingerprint or its " +
			"serial number, it needs the new one.",
		"Es ist nicht bekannt, wie es Zertifikate prüft. Wenn es das Zertifikat, den Fingerabdruck oder die " +
			"Seriennummer vergleicht, braucht es das neue.",
	},
	{"Links for administrators", "Links für Ansprechpartner"},
	{"Look for new certificates at", "Nach neuen Zertifikaten suchen unter"},
	{"Look now", "Jetzt nachsehen"},
	{
		"Lowercase letters, digits and hyphens, for example acme-c4c",
		"Kleinbuchstaben, Ziffern und Bindestriche, zum Beispiel acme-c4c",
	},
	{"New certificate: %s", "Neues Zertifikat: %s"},
	{"Next renewal", "Nächste Erneuerung"},
	{"Nothing new: this certificate is known.", "Nichts Neues: Dieses Zertifikat ist bekannt."},
	{"Nothing to do: it checks %s, and that stays the same.", "Nichts zu tun: Es prüft %s, und das bleibt gleich."},
	{
		"Optionally with what they compare, for example erp: certificate",
		"Wahlweise mit dem, was sie vergleichen, zum Beispiel erp: certificate",
	},
	{"Owner", "Inhaber"},
	{
		"PEM, DER or PKCS#7. It is compared with the present one.",
		"PEM, DER oder PKCS#7. Es wird mit dem jetzigen verglichen.",
	},
	{
		"PEM, DER or PKCS#7. Not needed if there is an address below.",
		"PEM, DER oder PKCS#7. Nicht nötig, wenn unten eine Adresse steht.",
	},
	{"Policy of the owner", "Regelwerk des Inhabers"},
	{"Present certificate", "Jetziges Zertifikat"},
	{"Renewal due", "Erneuerung fällig"},
	{"Renewal expected soon", "Erneuerung steht bevor"},
	{"Renewal overdue", "Erneuerung überfällig"},
	{"Seen", "Gesehen"},
	{
		"Send this link to the administrator of %s. It is shown only once:",
		"Senden Sie diesen Link dem Ansprechpartner von %s. Er wird nur einmal angezeigt:",
	},
	{"Show watched certificates", "Beobachtete Zertifikate anzeigen"},
	{"Source", "Quelle"},
	{"Source not readable", "Quelle nicht lesbar"},
	{"Stop watching", "Nicht mehr beobachten"},
	{"Stop watching %s", "%s nicht mehr beobachten"},
	{"System", "System"},
	{
		"Systems that accept exactly the old certificate need the new one.",
		"Systeme, die genau das alte Zertifikat akzeptieren, brauchen das neue.",
	},
	{"Systems that know it, one per line", "Systeme, die es kennen, eines pro Zeile"},
	{
		"Tell the administrators of the systems that know it that a new certificate is coming.",
		"Kündigen Sie den Ansprechpartnern der Systeme, die es kennen, ein neues Zertifikat an.",
	},
	{"Thank you. It is recorded as installed.", "Danke. Es ist als installiert vermerkt."},
	{
		"The certificate has been renewed, as expected. See below what to do.",
		"Das Zertifikat wurde wie erwartet erneuert. Was zu tun ist, steht unten.",
	},
	{
		"The certificate has expired, and no new one was seen.",
		"Das Zertifikat ist abgelaufen, und ein neues wurde nicht gesehen.",
	},
	{"The certificates cannot be compared.", "Die Zertifikate lassen sich nicht vergleichen."},
	{
		"The history is deleted. Tasks and mails remain.",
		"Der Verlauf wird gelöscht. Aufgaben und Mails bleiben erhalten.",
	},
	{"The last renewal", "Letzte Erneuerung"},
	{"The next renewal", "Nächste Erneuerung"},
	{"The owner", "Der Inhaber"},
	{"This certificate is presented to your system %s.", "Dieses Zertifikat wird Ihrem System %s vorgelegt."},
	{
		"This certificate was not expected: %s. Ask its owner whether it is genuine.",
		"Dieses Zertifikat wurde nicht erwartet: %s. Fragen Sie den Inhaber, ob es echt ist.",
	},
	{"Up to date", "Aktuell"},
	{"Upload", "Hochladen"},
	{"Upload the new certificate", "Neues Zertifikat hochladen"},
	{"Watch", "Beobachten"},
	{"Watch a certificate", "Zertifikat beobachten"},
	{"Watched", "Beobachtet"},
	{"Watched certificates", "Beobachtete Zertifikate"},
	{"Who renews it, for example SAP", "Wer es erneuert, zum Beispiel SAP"},
	{"alternative names", "alternative Namen"},
	{"another CA", "andere CA"},
	{"another subject", "anderes Subject"},
	{"expected", "erwartet"},
	{"expired", "abgelaufen"},
	{"issued early", "früher ausgestellt als erwartet"},
	{"issuing CA", "ausstellende CA"},
	{"not expected: %s", "nicht erwartet: %s"},
	{"not known", "nicht bekannt"},
	{"not known: within 93 days before the expiry", "nicht bekannt: in den 93 Tagen vor dem Ablauf"},
	{"older than the known one", "älter als das bekannte"},
	{"other alternative names", "andere alternative Namen"},
	{"other uses", "andere Verwendungszwecke"},
	{"not valid yet", "noch nicht gültig"},
	{"public key", "öffentlicher Schlüssel"},
	{"read", "gelesen"},
	{"root CA", "Root-CA"},
	{"serial number and dates", "Seriennummer und Daten"},
	{"subject", "Subject"},
	{"the TLS server", "dem TLS-Server"},
	{"the folder of the service's machine", "dem Ordner auf dem Server des Dienstes"},
	{"the https URL", "der https-URL"},
	{
		"the old one expires; the new one may be presented before",
		"Ablauf des alten; das neue kann schon vorher verwendet werden",
	},
}
