package web

// germanTestRounds holds the German texts of the actions on many tenants, and of the order of the work list.
var germanTestRounds = []translation{
	{"%d chosen tenants", "%d ausgewählte Mandanten"},
	{"%s to %s of %s", "%s bis %s von %s"},
	{"A question would lock out the certificate in use.", "Ein Test würde das verwendete Zertifikat aussperren."},
	{
		"A test changes nothing at the receiver. Its answer is recorded, and receivers that accept are used with the " +
			"new certificate.",
		"Ein Test ändert beim Empfänger nichts. Die Antwort wird festgehalten. Empfänger, die das neue Zertifikat " +
			"akzeptieren, erhalten Nachrichten damit.",
	},
	{"All that match: %s", "Alle passenden: %s"},
	{"All that match: more than %s", "Alle passenden: mehr als %s"},
	{
		"Another round asks it, or has asked it in the last five minutes.",
		"Er wird in einer anderen Testrunde getestet, oder er wurde in den letzten fünf Minuten getestet.",
	},
	{"Certificate ends first", "Zertifikat endet zuerst"},
	{"Certificate ends last", "Zertifikat endet zuletzt"},
	{"Choose", "Auswählen"},
	{"Choose tenants first, or all that match.", "Wählen Sie zuerst Mandanten aus, oder alle passenden."},
	{
		"Chosen tenants without a receiver at risk, which are left out: %d.",
		"Ausgewählte Mandanten ohne gefährdeten Empfänger, die ausgelassen werden: %d.",
	},
	{"Create %s?", "%s erstellen?"},
	{"Create links", "Links erstellen"},
	{"Create links for %s", "Links für %s erstellen"},
	{
		"Each link can be revoked on the page of its arrangement. Links that exist stay valid.",
		"Jeder Link lässt sich auf der Seite seiner Vereinbarung widerrufen. Vorhandene Links bleiben gültig.",
	},
	{
		"Each link leads the administrator of one receiver to its new certificate. You get a CSV file with the links " +
			"and the addresses, for a mail merge. The links are shown only there.",
		"Jeder Link führt den Ansprechpartner eines Empfängers zu dessen neuem Zertifikat. Sie erhalten eine CSV-Datei " +
			"mit den Links und den Adressen, etwa für einen Serienbrief. Nur dort sind die Links zu sehen.",
	},
	{
		"Each receiver is asked whether it accepts the new certificate. No message is sent, and at most four receivers " +
			"of a host are asked per second.",
		"Bei jedem Empfänger wird getestet, ob er das neue Zertifikat akzeptiert. Es wird keine Nachricht gesendet, und " +
			"je Host werden höchstens vier Empfänger pro Sekunde getestet.",
	},
	{"Finished: %d of %d accept the new certificate.", "Fertig: %d von %d akzeptieren das neue Zertifikat."},
	{
		"Finished: all receivers accept the new certificate.",
		"Fertig: Alle Empfänger akzeptieren das neue Zertifikat.",
	},
	{"First page", "Erste Seite"},
	{"For", "Für"},
	{"For %s, by %s.", "Für %s, von %s."},
	{"It is no longer at risk.", "Er ist nicht mehr gefährdet."},
	{"Most urgent first", "Dringendste zuerst"},
	{"Most urgent last", "Dringendste zuletzt"},
	{"Name, A to Z", "Name, A bis Z"},
	{"Name, Z to A", "Name, Z bis A"},
	{"Newest first", "Neueste zuerst"},
	{"Next page", "Nächste Seite"},
	{
		"No tests yet. Choose tenants with receivers at risk in the list of tenants, and test their receivers with one " +
			"action.",
		"Noch keine Tests. Wählen Sie in der Liste der Mandanten solche mit gefährdeten Empfängern aus, und testen Sie " +
			"deren Empfänger auf einmal.",
	},
	{
		"None of the chosen tenants has a receiver at risk, so there is nothing to do.",
		"Keiner der ausgewählten Mandanten hat einen gefährdeten Empfänger. Es gibt nichts zu tun.",
	},
	{"Not asked", "Nicht getestet"},
	{
		"Not asked, because a question would lock out the certificate in use: %d.",
		"Nicht getestet, weil ein Test das verwendete Zertifikat aussperren würde: %d.",
	},
	{"Oldest first", "Älteste zuerst"},
	{"Order", "Reihenfolge"},
	{"Other", "Sonstige"},
	{"Receivers at risk: %s, of %s, at %s.", "Gefährdete Empfänger: %s, von %s, auf %s."},
	{
		"Receivers whose administrator has an e-mail address: %d of %d.",
		"Empfänger, deren Ansprechpartner eine E-Mail-Adresse hat: %d von %d.",
	},
	{"Result", "Ergebnis"},
	{
		"Running: %d of %d have a result. You can leave this page.",
		"Läuft: %d von %d haben ein Ergebnis. Sie können diese Seite verlassen.",
	},
	{"Started", "Begonnen"},
	{"Tenants at risk", "Gefährdete Mandanten"},
	{"Test %s?", "%s testen?"},
	{"Test of %s", "Test von %s"},
	{"Test receivers", "Empfänger testen"},
	{"Test the receivers of %s", "Empfänger von %s testen"},
	{"Tested", "Getestet"},
	{"Tests", "Tests"},
	{"The arrangement presents no certificate any longer.", "Die Vereinbarung legt kein Zertifikat mehr vor."},
	{"The private key does not sign at the moment.", "Der private Schlüssel signiert zurzeit nicht."},
	{
		"The question failed. The service's log has the reason.",
		"Der Test ist fehlgeschlagen. Den Grund nennt das Log des Dienstes.",
	},
	{"all tenants at risk", "alle gefährdeten Mandanten"},
	{"host", "Host"},
	{"hosts", "Hosts"},
	{"link", "Link"},
	{"links", "Links"},
	{"receiver", "Empfänger"},
	{"receivers", "Empfänger"},
	{"tenants found by %s", "Mandanten, gefunden mit %s"},
	{"tenants without key users", "Mandanten ohne Key-User"},
}
