package web

// germanBoard holds the German texts of the roll-over board.
var germanBoard = []translation{
	{"1 to 7 days left", "noch 1 bis 7 Tage"},
	{"15 to 30 days left", "noch 15 bis 30 Tage"},
	{"31 to 60 days left", "noch 31 bis 60 Tage"},
	{"8 to 14 days left", "noch 8 bis 14 Tage"},
	{"As a list", "Als Liste"},
	{"By days left", "Nach verbleibenden Tagen"},
	{"By receiver", "Nach Empfänger"},
	{"By state", "Nach Zustand"},
	{"Days left", "Verbleibende Tage"},
	{
		"Days left: until the expiry of the last certificate that the receiver is known to accept. No days left: " +
			"messages depend on the newest certificate already.",
		"Verbleibende Tage: bis zum Ablauf des letzten Zertifikats, das der Empfänger nachweislich akzeptiert. Keine " +
			"Tage: Nachrichten hängen schon vom neuesten Zertifikat ab.",
	},
	{"Every roll-over is settled.", "Jede Umstellung ist abgeschlossen."},
	{"No roll-over fits this filter.", "Keine Umstellung passt zu diesem Filter."},
	{"Only: %s.", "Nur: %s."},
	{"Receivers", "Empfänger"},
	{
		"Roll-overs at risk by the days left. The table below has the numbers.",
		"Gefährdete Umstellungen nach verbleibenden Tagen. Die Tabelle darunter enthält die Zahlen.",
	},
	{"Show all", "Alle anzeigen"},
	{"Show all %s", "Alle %s anzeigen"},
	{"View", "Ansicht"},
	{"more than 60 days left", "noch mehr als 60 Tage"},
	{"no days left", "keine Tage mehr"},
	{"with a deadline: %s", "mit Frist: %s"},
}
