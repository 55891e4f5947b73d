package web

// germanFind holds the German texts of the search and of the work list.
var germanFind = []translation{
	{"%s, generation %d", "%s, Generation %d"},
	{"%d get mails", "%d erhalten Mails"},
	{"Detail", "Einzelheit"},
	{"Expiry", "Ablauf"},
	{"Filter", "Filter"},
	{"Name or words of the display name", "Name oder Wörter des Anzeigenamens"},
	{"Next event", "Nächstes Ereignis"},
	{"No arrangement", "Keine Vereinbarung"},
	{"No tenant fits this filter.", "Kein Tenant passt zu diesem Filter."},
	{"Without key users", "Ohne Key-User"},
	{"Roll-over open", "Umstellung offen"},
	{"none", "keine"},
	{"%d of %d", "%d von %d"},
	{"Find", "Suchen"},
	{"IT contact", "IT-Kontakt"},
	{"Kind", "Art"},
	{
		"Name, serial number, fingerprint or e-mail address",
		"Name, Seriennummer, Fingerabdruck oder E-Mail-Adresse",
	},
	{
		"Nothing begins with %s. Serial numbers are found in every notation, fingerprints by their first 8 digits, and " +
			"people by their e-mail address.",
		"Nichts beginnt mit %s. Seriennummern werden in jeder Schreibweise gefunden, Fingerabdrücke an den ersten 8 " +
			"Stellen, und Personen an der E-Mail-Adresse.",
	},
	{"Results", "Ergebnisse"},
	{"There are more results. Type more to see them.", "Es gibt weitere Ergebnisse. Geben Sie mehr ein."},
	{"Type at least 2 characters.", "Geben Sie mindestens 2 Zeichen ein."},
}
