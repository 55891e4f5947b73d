package words

// germanMoves holds the reasons of cut-overs by the formats of package rollover, which the audit log has in English.
var germanMoves = catalogue([]translation{
	{"%s that the receiver accepts generation %d", "%s, dass der Empfänger Generation %d akzeptiert"},
	{"%s, and %s that it accepts generation %d", "%s, und %s, dass er Generation %d akzeptiert"},
	{"a person reports", "eine Person meldet"},
	{"a probe shows", "eine Testanfrage zeigt"},
	{"generation %d exists, and the receiver asks for no certificate",
		"es gibt Generation %d, und der Empfänger verlangt kein Zertifikat"},
	{"generation %d exists, and the strategy is immediate", "es gibt Generation %d, und die Strategie ist: sofort"},
	{"generation %d expired on %s", "Generation %d ist am %s abgelaufen"},
	{"generation %d expires on %s", "Generation %d läuft am %s ab"},
	{"generation %d is no longer in use", "Generation %d wird nicht mehr verwendet"},
	{"generation %d was revoked", "Generation %d wurde widerrufen"},
	{"selected by a person", "von einer Person gewählt"},
	{"the receiver refuses generation %d", "der Empfänger lehnt Generation %d ab"},
	{"the receiver's answers leave open whether it accepts generation %d",
		"die Antworten des Empfängers lassen offen, ob er Generation %d akzeptiert"},
	{"traffic shows", "Nachrichten zeigen"},
})
