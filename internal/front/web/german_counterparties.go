package web

// germanCounterparties holds the German texts about counterparties.
var germanCounterparties = []translation{
	{"%s has been created.", "%s wurde angelegt."},
	{"Dismiss %s?", "%s verwerfen?"},
	{"and %s more", "und %s weitere"},
	{"Contacts that remain: %s.", "Kontakte, die bleiben: %s."},
	{"End the present address of the page for %s?", "Die aktuelle Adresse der Seite für %s beenden?"},
	{"Remove the contact %s?", "Den Kontakt %s entfernen?"},
	{
		"The addresses of its contacts end too. Its calendars get no further deadlines.",
		"Auch die Adressen der Kontakte enden. Die Kalender bekommen keine weiteren Fristen.",
	},
	{
		"The host is not proposed again, whatever number of tenants names it.",
		"Der Host wird nicht wieder vorgeschlagen, gleich wie viele Mandanten ihn nennen.",
	},
	{"The page was last visited %s.", "Die Seite wurde zuletzt besucht: %s."},
	{"The present address was never visited.", "Die aktuelle Adresse wurde nie besucht."},
	{"Their own address of the page ends.", "Die eigene Adresse der Seite endet."},
	{
		"You can still add the host to a counterparty, in its settings.",
		"Sie können den Host weiterhin in den Einstellungen einer Gegenpartei eintragen.",
	},
	{"%s has been created. Linked tenants: %s.", "%s wurde angelegt. Verknüpfte Mandanten: %s."},
	{
		"A counterparty is the organisation behind receivers of many tenants. Its administrators get one page with all " +
			"certificates that their systems must accept.",
		"Eine Gegenpartei ist die Organisation hinter Empfängern vieler Mandanten. Ihre Kontakte erhalten eine Seite " +
			"mit allen Zertifikaten, die ihre Systeme akzeptieren müssen.",
	},
	{
		"A report is not a proof: a certificate counts as accepted when a test or a message shows it. A receiver " +
			"without a test request shows it with its next message.",
		"Eine Meldung ist kein Beweis: Ein Zertifikat gilt als akzeptiert, wenn ein Test oder eine Nachricht es " +
			"zeigt. Ein Empfänger ohne Testanfrage zeigt es bei der nächsten Nachricht.",
	},
	{"Accept %s", "%s akzeptieren"},
	{"Add", "Hinzufügen"},
	{"Add a contact", "Kontakt hinzufügen"},
	{"Address of %s by %s", "Adresse vom %s von %s"},
	{"Address of the page for %s, shown only once:", "Adresse der Seite für %s (wird nur einmal angezeigt):"},
	{
		"From %s on, messages fail if your systems do not accept the new certificates.",
		"Ab %s schlagen Nachrichten fehl, wenn Ihre Systeme die neuen Zertifikate nicht akzeptieren.",
	},
	{"All are installed, please test", "Alle sind installiert, bitte testen"},
	{"All counterparties", "Alle Gegenparteien"},
	{"All new certificates (ZIP)", "Alle neuen Zertifikate (ZIP)"},
	{"Calendar of the deadlines", "Kalender der Fristen"},
	{"Certificates by tenant", "Zertifikate nach Mandant"},
	{"Certificates for %s", "Zertifikate für %s"},
	{
		"Certificates: %s. None of them is being renewed.",
		"Zertifikate: %s. Keines davon wird gerade erneuert.",
	},
	{
		"Compare the old fingerprint of a tenant with the certificate that your system accepts for it now. Then compare " +
			"the new fingerprint with the one that your contact at the tenant reads to you, for example by phone. Use a " +
			"contact that you already knew.",
		"Vergleichen Sie den alten Fingerabdruck eines Mandanten mit dem Zertifikat, das Ihr System jetzt für ihn " +
			"akzeptiert. Vergleichen Sie dann den neuen Fingerabdruck mit dem, den Ihr Kontakt beim Mandanten Ihnen " +
			"vorliest, zum Beispiel am Telefon. Wenden Sie sich an jemanden, den Sie schon kannten.",
	},
	{"Confirm %s", "%s bestätigen"},
	{"Confirmed %s", "Bestätigt am %s"},
	{"Contacts", "Kontakte"},
	{"Counterparties", "Gegenparteien"},
	{"Create an address for %s", "Adresse für %s erstellen"},
	{"Create a counterparty", "Gegenpartei anlegen"},
	{"Dismiss", "Verwerfen"},
	{"Dismiss %s", "%s verwerfen"},
	{
		"For example House Bank. If left empty, the name is used.",
		"Zum Beispiel Hausbank. Ohne Angabe wird der Name verwendet.",
	},
	{"Host", "Host"},
	{"Hosts", "Hosts"},
	{"How to install", "Installation"},
	{"In use, not confirmed", "Verwendet, nicht bestätigt"},
	{"It has no address yet.", "Sie hat noch keine Adresse."},
	{"Last working day for new client certificates: %s", "Letzter Arbeitstag für neue Client-Zertifikate: %s"},
	{"last visit", "letzter Besuch"},
	{
		"Messages are already sent with new certificates that no system has confirmed.",
		"Nachrichten werden schon mit neuen Zertifikaten gesendet, die kein System bestätigt hat.",
	},
	{"Name of the counterparty for %s", "Name der Gegenpartei für %s"},
	{"Name, such as bank", "Name, etwa bank"},
	{"New certificates: %s. All of them are accepted.", "Neue Zertifikate: %s. Alle sind akzeptiert."},
	{"New address (the old one ends)", "Neue Adresse (die alte endet)"},
	{"New SHA-256", "Neu: SHA-256"},
	{
		"No certificate was selected. Select at least one, or use the buttons for all.",
		"Es wurde kein Zertifikat ausgewählt. Wählen Sie mindestens eines aus, oder verwenden Sie die " +
			"Schaltflächen für alle.",
	},
	{
		"No certificates are presented to your systems yet.",
		"Ihren Systemen werden noch keine Zertifikate vorgelegt.",
	},
	{"(no mails since %s: %s)", "(keine Mails seit %s: %s)"},
	{"Add another contact. They can undo it with the link in their last mail.",
		"Fügen Sie einen anderen Kontakt hinzu. Mit dem Link in der letzten Mail lässt es sich rückgängig machen."},
	{"Add the person who is responsible now.", "Fügen Sie die Person hinzu, die jetzt zuständig ist."},
	{"Correct the address: add the contact again with the right one, and remove this one.",
		"Berichtigen Sie die Adresse: Fügen Sie den Kontakt mit der richtigen neu hinzu, und entfernen Sie diesen."},
	{"Mail %s again", "%s wieder Mails senden"},
	{
		"No contact of %s gets mails. Write to one of them yourself, and ask your hosting team to add another contact.",
		"Kein Kontakt von %s erhält Mails. Schreiben Sie selbst an einen davon, und bitten Sie Ihr Hosting-Team, einen " +
			"weiteren Kontakt hinzuzufügen.",
	},
	{"The contact gets mails again.", "Der Kontakt erhält wieder Mails."},
	{"No counterparties yet.", "Noch keine Gegenparteien."},
	{"No new certificate", "Kein neues Zertifikat"},
	{"No receivers with certificates are linked.", "Es sind keine Empfänger mit Zertifikaten verknüpft."},
	{"Not confirmed", "Nicht bestätigt"},
	{
		"Not confirmed yet: %s of %s certificates. Messages already depend on some of them.",
		"Noch nicht bestätigt: %s von %s Zertifikaten. Von einigen hängen schon Nachrichten ab.",
	},
	{
		"Not confirmed yet: %s of %s certificates. The first deadline is %s.",
		"Noch nicht bestätigt: %s von %s Zertifikaten. Die erste Frist endet am %s.",
	},
	{"Not confirmed yet: %s of %s certificates.", "Noch nicht bestätigt: %s von %s Zertifikaten."},
	{"Not known", "Nicht bekannt"},
	{"Not you? Name the right person", "Nicht zuständig? Nennen Sie die richtige Person"},
	{"Now", "Jetzt"},
	{"Old SHA-256", "Alt: SHA-256"},
	{
		"One per line, such as pay.bank.example, or .bank.example for every host below it. The receivers of all " +
			"tenants with these hosts are linked.",
		"Einer pro Zeile, etwa pay.bank.example, oder .bank.example für jeden Host darunter. Die Empfänger aller " +
			"Mandanten mit diesen Hosts werden verknüpft.",
	},
	{"Page", "Seite"},
	{"Page visited", "Seite besucht"},
	{
		"Part of URLs: lowercase letters, digits and -, for example bank",
		"Teil von URLs: Kleinbuchstaben, Ziffern und -, zum Beispiel bank",
	},
	{"Accepted since the test on %s", "Seit dem Test am %s akzeptiert"},
	{
		"A system refuses a new certificate. Install the certificate there, and test again.",
		"Ein System lehnt ein neues Zertifikat ab. Installieren Sie das Zertifikat dort, und testen Sie erneut.",
	},
	{
		"Perhaps you need not do anything: many systems accept a new certificate without a change. Test now.",
		"Vielleicht müssen Sie nichts tun: Viele Systeme akzeptieren ein neues Zertifikat ohne Änderung. Testen " +
			"Sie jetzt.",
	},
	{"Proposals", "Vorschläge"},
	{"Propose this contact", "Diesen Kontakt vorschlagen"},
	{"Proposed", "Vorgeschlagen"},
	{"Receivers", "Empfänger"},
	{"Reload", "Neu laden"},
	{"Reported", "Gemeldet"},
	{
		"Saved. The instructions below are for this product.",
		"Gespeichert. Die Anleitung unten gilt für dieses Produkt.",
	},
	{"Select", "Auswahl"},
	{"Select %s", "%s auswählen"},
	{"Settings", "Einstellungen"},
	{
		"Several tenants send messages to these hosts. Accept a host to link the receivers of all its tenants.",
		"Mehrere Mandanten senden Nachrichten an diese Hosts. Akzeptieren Sie einen Host, um die Empfänger aller seiner " +
			"Mandanten zu verknüpfen.",
	},
	{"Test all now", "Jetzt alle testen"},
	{"Test is running", "Test läuft"},
	{"Test on %s: accepted", "Test am %s: akzeptiert"},
	{"Test on %s: no clear answer (%s)", "Test am %s: keine klare Antwort (%s)"},
	{"Test on %s: not possible at the moment", "Test am %s: zurzeit nicht möglich"},
	{
		"Test on %s: not refused. The next message will show whether it works.",
		"Test am %s: nicht abgelehnt. Die nächste Nachricht zeigt, ob es funktioniert.",
	},
	{"Test on %s: refused (%s)", "Test am %s: abgelehnt (%s)"},
	{"Test the selected", "Ausgewählte testen"},
	{"Tests started: %s. The results appear below.", "Gestartete Tests: %s. Die Ergebnisse erscheinen unten."},
	{"Tests without an answer yet: %s.", "Tests, auf deren Antwort noch gewartet wird: %s."},
	{"Thank you. The contact has been confirmed.", "Danke. Der Kontakt wurde bestätigt."},
	{
		"Thank you. The operators of the platform will check the contact and accept it.",
		"Danke. Die Operatoren der Plattform prüfen den Kontakt und akzeptieren ihn.",
	},
	{
		"Thank you. Your report is recorded, and the systems are being tested: %s. The results appear below.",
		"Danke. Ihre Meldung ist aufgenommen, und die Systeme werden getestet: %s. Die Ergebnisse erscheinen " +
			"unten.",
	},
	{"The address of the page has been revoked.", "Die Adresse der Seite wurde widerrufen."},
	{"The contact has been accepted.", "Der Kontakt wurde akzeptiert."},
	{"The contact has been removed.", "Der Kontakt wurde entfernt."},
	{"The form cannot be read.", "Das Formular kann nicht gelesen werden."},
	{"The host has been linked. Linked tenants: %s.", "Der Host wurde verknüpft. Verknüpfte Mandanten: %s."},
	{"The proposal has been dismissed.", "Der Vorschlag wurde verworfen."},
	{"Report as installed and test", "Als installiert melden und testen"},
	{
		"There are more proposals: search for a host, or decide these first.",
		"Es gibt weitere Vorschläge: Suchen Sie einen Host, oder entscheiden Sie erst über diese.",
	},
	{
		"There is nothing to do. None of the certificates is being renewed.",
		"Es ist nichts zu tun. Keines der Zertifikate wird gerade erneuert.",
	},
	{
		"There is nothing to do. Your systems accept every new certificate. Thank you.",
		"Es ist nichts zu tun. Ihre Systeme akzeptieren jedes neue Zertifikat. Danke.",
	},
	{
		"These systems were tested within the last five minutes. The results are below.",
		"Diese Systeme wurden in den letzten fünf Minuten getestet. Die Ergebnisse stehen unten.",
	},
	{
		"This is an example for %s. The other certificates are installed in the same way.",
		"Dies ist ein Beispiel für %s. Die anderen Zertifikate werden auf dieselbe Weise installiert.",
	},
	{"This address is for %s.", "Diese Adresse ist für %s."},
	{"This is correct", "Das ist richtig"},
	{
		"This page never asks for a password or a private key. Whoever has its address can report certificates " +
			"as installed and see the names of your tenants, so give it only to colleagues.",
		"Diese Seite fragt nie nach einem Passwort oder einem privaten Schlüssel. Wer ihre Adresse hat, kann " +
			"Zertifikate als installiert melden und sieht die Namen Ihrer Mandanten. Geben Sie sie deshalb nur an " +
			"Kollegen weiter.",
	},
	{"until the first deadline: %s", "bis zur ersten Frist: %s"},
	{"Who administers these systems", "Wer diese Systeme administriert"},
	{"Your product", "Ihr Produkt"},
}
