package web

// germanLists holds the German texts of searches, orders and filters of lists.
var germanLists = []translation{
	{"About %s", "Zu %s"},
	{"Arrangement or host", "Vereinbarung oder Host"},
	{"By %s", "Von %s"},
	{"CA %s", "CA %s"},
	{"Checked by %s", "Geprüft von %s"},
	{"All about it", "Alles dazu"},
	{"Its entries of the audit log", "Einträge des Audit-Protokolls dazu"},
	{"Name begins with", "Name beginnt mit"},
	{"Name or e-mail", "Name oder E-Mail"},
	{"Name or owner", "Name oder Inhaber"},
	{
		"No entries found in this part of the log. Earlier parts may have some.",
		"In diesem Teil des Protokolls gibt es keine Einträge. Frühere Teile können welche enthalten.",
	},
	{"Nothing fits this search.", "Nichts passt zu dieser Suche."},
	{"Of the installation", "Der Installation"},
	{"Purpose begins with", "Zweck beginnt mit"},
	{"tests of receivers", "Tests von Empfängern"},
	{"“%s”", "„%s“"},
}
