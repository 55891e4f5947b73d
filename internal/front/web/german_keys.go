package web

// germanKeys holds the German texts of the keyboard shortcuts.
var germanKeys = []translation{
	{"Choose the row for an action", "Zeile für eine Aktion auswählen"},
	{"Go to a page, or find", "Zu einer Seite gehen oder suchen"},
	{"Go to any page, or find something", "Zu jeder Seite gehen, oder etwas suchen"},
	{"Go to the search field", "Zum Suchfeld"},
	{"Keyboard shortcuts", "Tastenkürzel"},
	{"Next row of the list", "Nächste Zeile der Liste"},
	{"Open the row", "Zeile öffnen"},
	{"Previous row", "Vorige Zeile"},
	{"Results: %s", "Ergebnisse: %s"},
	{"Show this list", "Diese Liste anzeigen"},
	{"Use the shortcuts of a single key in this browser", "Kürzel aus einer einzelnen Taste in diesem Browser verwenden"},
}
