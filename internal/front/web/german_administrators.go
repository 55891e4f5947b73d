package web

// germanAdministrators holds the German texts for and about the administrators of receivers.
var germanAdministrators = []translation{
	{"It is renewed on %s.", "Es wird am %s erneuert."},
	{
		"Keep this link: after the next renewal, this page shows the next certificate.",
		"Bewahren Sie diesen Link auf: Nach der nächsten Erneuerung zeigt diese Seite das nächste Zertifikat.",
	},
	{"Nothing to do, thank you", "Nichts zu tun, danke"},
	{
		"There is no new certificate of %s to install at the moment.",
		"Zurzeit ist kein neues Zertifikat von %s zu installieren.",
	},
	{"Your system accepts the new certificate of %s.", "Ihr System akzeptiert das neue Zertifikat von %s."},
	{"For example Europe/Berlin", "Zum Beispiel Europe/Berlin"},
	{"Page opened", "Seite geöffnet"},
	{
		"Without the mails, you are not notified when your system needs a new certificate.",
		"Ohne diese Mails erfahren Sie nicht, wann Ihr System ein neues Zertifikat braucht.",
	},
	{"The latest mail was not delivered: %s", "Die letzte Mail wurde nicht zugestellt: %s"},
	{"Mail them from now on", "Ab jetzt Mails an sie senden"},
	{"The receiver's administrator", "Ansprechpartner des Empfängers"},
	{
		"Optional: name and e-mail address. The people at %s decide whom they mail.",
		"Freiwillig: Name und E-Mail-Adresse. Wem geschrieben wird, entscheidet %s.",
	},
	{"This address gets mails again.", "Diese Adresse erhält wieder Mails."},
	{"Undo", "Rückgängig machen"},
	{
		"The service mails them: before a renewal, with the new certificate, before a deadline, and " +
			"when they are done.",
		"Der Dienst schreibt ihnen: vor einer Erneuerung, mit dem neuen Zertifikat, vor einer Frist, " +
			"und wenn alles erledigt ist.",
	},
	{"The service has not mailed them yet.", "Der Dienst hat ihnen noch keine Mail gesendet."},
	{"None is known", "Keiner bekannt"},
	{
		"You forward the new certificate to them. The service can do that for you, and remind them " +
			"before a deadline.",
		"Sie leiten das neue Zertifikat an sie weiter. Der Dienst kann das für Sie tun und sie vor " +
			"einer Frist erinnern.",
	},
	{
		"A mail has the public certificate and a link to the page of the system, in the language of its " +
			"reader. It names your organisation and your first IT contact. Every reader can stop the mails " +
			"to their own address.",
		"Eine Mail enthält das öffentliche Zertifikat und einen Link zur Seite des Systems, in der " +
			"Sprache ihres Lesers. Sie nennt Ihr Unternehmen und Ihren ersten IT-Kontakt. Jeder kann die " +
			"Mails an die eigene Adresse abbestellen.",
	},
	{"Stop mailing them", "Keine Mails mehr an sie senden"},
	{"Default", "Standard"},
	{"There are no receivers yet.", "Es gibt noch keine Empfänger."},
	{"they asked for it", "sie wurden abbestellt"},
	{"Who is responsible instead?", "Wer ist stattdessen zuständig?"},
	{"The contacts of %s", "Die Kontakte von %s"},
	{"All administrators", "Alle Ansprechpartner"},
	{
		"The administrators of your receivers are mailed from the next event on.",
		"Die Ansprechpartner Ihrer Empfänger erhalten ab dem nächsten Ereignis Mails.",
	},
	{"Mails about %s", "Mails zu %s"},
	{"Administrators", "Ansprechpartner"},
	{"Change the administrator of %s", "Ansprechpartner von %s ändern"},
	{"Administrator of %s", "Ansprechpartner von %s"},
	{
		"The administrators of your receivers are no longer mailed.",
		"Die Ansprechpartner Ihrer Empfänger erhalten keine Mails mehr.",
	},
	{"Stop mails to this address", "Keine Mails mehr an diese Adresse"},
	{"Reminded", "Erinnert"},
	{"another person is responsible", "jemand anders ist zuständig"},
	{"the address does not exist", "die Adresse gibt es nicht"},
	{"%s gets mails about the certificates of %s.", "%s erhält Mails zu den Zertifikaten von %s."},
	{"No mails since %s: %s.", "Keine Mails seit %s: %s."},
	{"Administrators of your receivers", "Ansprechpartner Ihrer Empfänger"},
	{"%s gets no more mails about %s.", "%s erhält keine Mails mehr zu %s."},
	{"The people at %s were notified.", "%s wurde benachrichtigt."},
	{"Mail this address again", "Wieder an diese Adresse senden"},
	{"Tested", "Getestet"},
	{"Done", "Erledigt"},
	{"Key user %s", "Key-User %s"},
}
