package web

// germanLists holds the German texts of searches, orders and filters of lists.
var germanLists = []translation{
	{"About %s", "Zu %s"},
	{"Arrangement or counterparty", "Vereinbarung oder Gegenpartei"},
	{"Arrangement or host", "Vereinbarung oder Host"},
	{"Arrangement, path or error", "Vereinbarung, Pfad oder Fehler"},
	{"By %s", "Von %s"},
	{"CA %s", "CA %s"},
	{"Checked by %s", "Geprüft von %s"},
	{"All about it", "Alles dazu"},
	{"Its entries of the audit log", "Einträge des Audit-Protokolls dazu"},
	{"Name begins with", "Name beginnt mit"},
	{"Name or e-mail", "Name oder E-Mail"},
	{"Name or proposed host", "Name oder vorgeschlagener Host"},
	{"Name or owner", "Name oder Inhaber"},
	{
		"No entries found in this part of the log. Earlier parts may have some.",
		"In diesem Teil des Protokolls gibt es keine Einträge. Frühere Teile können welche enthalten.",
	},
	{"Nothing fits this search.", "Nichts passt zu dieser Suche."},
	{
		"Nothing fits this search in this part of the list. The next parts may have something.",
		"In diesem Teil der Liste passt nichts zu dieser Suche. Die nächsten Teile können etwas enthalten.",
	},
	{"Object or type of event", "Objekt oder Art des Ereignisses"},
	{"Of the installation", "Der Installation"},
	{"Only failed messages", "Nur fehlgeschlagene Nachrichten"},
	{"Path, status or outcome", "Pfad, Status oder Ergebnis"},
	{"Purpose begins with", "Zweck beginnt mit"},
	{"Recipient or subject", "Empfänger oder Betreff"},
	{"Tenant, arrangement or host", "Mandant, Vereinbarung oder Host"},
	{"Tenant, endpoint or SHA-256", "Mandant, Endpunkt oder SHA-256"},
	{"Tenant or file", "Mandant oder Datei"},
	{"tests of receivers", "Tests von Empfängern"},
	{"“%s”", "„%s“"},
}
