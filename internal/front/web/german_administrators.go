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
}
