package web

// germanCalendar holds the German texts of the calendars.
var germanCalendar = []translation{
	{
		"%s: inform the administrators of your receivers (%d), renewal soon",
		"%s: Ansprechpartner der Empfänger informieren (%d), Erneuerung bald",
	},
	{"%s: new certificate today", "%s: heute neues Zertifikat"},
	{
		"%s: new certificate today, send it to the administrators of your receivers (%d)",
		"%s: heute neues Zertifikat, an die Ansprechpartner der Empfänger schicken (%d)",
	},
	{"%s: the certificate expires without a renewal", "%s: Das Zertifikat läuft ohne Erneuerung ab"},
	{"%s: warning, renewal soon", "%s: Warnung, Erneuerung bald"},
	{"Certificate run (renewals: %d, warnings: %d)", "Zertifikatslauf (Erneuerungen: %d, Warnungen: %d)"},
	{
		"DEADLINE %s: receivers without the new certificate: %d of %d",
		"FRIST %s: Empfänger ohne das neue Zertifikat: %d von %d",
	},
	{
		"It is not renewed in time. Renew it by hand now.",
		"Es wird nicht rechtzeitig erneuert. Erneuern Sie es jetzt manuell.",
	},
	{
		"The administrators of your receivers are mailed on this day. Inform those whose address is not known.",
		"Die Ansprechpartner der Empfänger werden an diesem Tag per Mail benachrichtigt. Informieren Sie die, deren " +
			"Adresse nicht bekannt ist.",
	},
	{"Nothing is left to do.", "Es ist nichts mehr zu tun."},
	{
		"On %s, the certificate expires that these receivers are known to accept. After that, a receiver that does not " +
			"accept the new one refuses your messages.",
		"Am %s läuft das Zertifikat ab, von dem bekannt ist, dass diese Empfänger es akzeptieren. Danach lehnt ein " +
			"Empfänger, der das neue nicht akzeptiert, Ihre Nachrichten ab.",
	},
	{
		"Ready: every receiver of %s accepts the new certificate",
		"Bereit: Alle Empfänger von %s akzeptieren das neue Zertifikat",
	},
	{"The certificate is renewed on this day.", "Das Zertifikat wird an diesem Tag erneuert."},
	{
		"The certificate is renewed on this day. After that, the page of the roll-overs lists the receivers that are not " +
			"known to accept it, and their deadlines.",
		"Das Zertifikat wird an diesem Tag erneuert. Danach zeigt die Seite der Umstellungen, von welchen Empfängern nicht " +
			"bekannt ist, ob sie es akzeptieren, und ihre Fristen.",
	},
	{"You get a task with the date of the renewal.", "Sie erhalten eine Aufgabe mit dem Tag der Erneuerung."},
}
