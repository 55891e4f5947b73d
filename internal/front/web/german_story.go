package web

// germanStory holds the German texts of the page of an arrangement, and of its charts.
var germanStory = []translation{
	{
		"Messages depend on generation %d, and the receiver is not known to accept it.",
		"Nachrichten hängen von Generation %d ab, und es ist nicht bekannt, ob der Empfänger sie akzeptiert.",
	},
	{
		"%s: delivered %s, after another attempt %s, failed %s, cancelled %s",
		"%s: zugestellt %s, nach weiterem Versuch %s, fehlgeschlagen %s, abgebrochen %s",
	},
	{"Trusted", "Akzeptiert"},
	{"No deadline", "Keine Frist"},
	{"The newest certificate is valid until %s.", "Das neueste Zertifikat ist bis %s gültig."},
	{"Links for the receiver's administrator", "Links für den Ansprechpartner des Empfängers"},
	{"Old", "Alt"},
	{"New", "Neu"},
	{
		"The receiver does not accept generation %d yet. Create a link and send it to its administrator. Until then, " +
			"messages use the old certificate.",
		"Der Empfänger akzeptiert Generation %d noch nicht. Erstellen Sie einen Link, und senden Sie ihn seinem " +
			"Ansprechpartner. Bis dahin verwenden Nachrichten das alte Zertifikat.",
	},
	{
		"28 days after the cut-over, if the old certificate is not needed",
		"28 Tage nach der Umstellung, wenn das alte Zertifikat nicht gebraucht wird",
	},
	{"Messages are sent with generation %d", "Nachrichten werden mit Generation %d gesendet"},
	{"Messages are still sent with generation %d", "Nachrichten werden noch mit Generation %d gesendet"},
	{"The old certificate is no longer needed", "Das alte Zertifikat wird nicht mehr gebraucht"},
	{
		"Then test whether your system accepts the new one.",
		"Testen Sie dann, ob Ihr System das neue akzeptiert.",
	},
	{"Remove the revoked certificates", "Widerrufene Zertifikate entfernen"},
	{
		"Earlier certificates of %s are revoked. Remove those with these serial numbers now:",
		"Frühere Zertifikate von %s sind widerrufen. Entfernen Sie jetzt die mit diesen Seriennummern:",
	},
	{"No other certificate is in use", "Es wird kein anderes Zertifikat verwendet"},
	{"both valid: %s", "beide gültig: %s"},
	{"%s and %s are both valid from %s to %s (%s)", "%s und %s sind beide gültig, vom %s bis zum %s (%s)"},
	{
		"The test proves nothing: %s. Choose another test (now %s) that the receiver answers only if it accepts the " +
			"certificate, or create a link and send it to its administrator.",
		"Der Test beweist nichts: %s. Wählen Sie eine andere Testanfrage (derzeit %s), die der Empfänger nur " +
			"beantwortet, wenn er das Zertifikat akzeptiert, oder erstellen Sie einen Link, und senden Sie ihn seinem " +
			"Ansprechpartner.",
	},
	{"Generation %d, valid until %s", "Generation %d, gültig bis %s"},
	{
		"Bars: validity. Shaded: overlap, in which both certificates are valid and receivers change from one to the " +
			"other. Line: today. Dots: cut-overs. Triangles: planned dates.",
		"Balken: Gültigkeit. Schattiert: Überlappung, in der beide Zertifikate gültig sind und Empfänger vom einen zum " +
			"anderen wechseln. Linie: heute. Punkte: Umstellungen. Dreiecke: geplante Termine.",
	},
	{"Generation %d was issued", "Generation %d wurde ausgestellt"},
	{"Messages of the last 24 hours", "Nachrichten der letzten 24 Stunden"},
	{"Expected on %s, when the notice period ends", "Voraussichtlich am %s, wenn die Ankündigungsfrist endet"},
	{"nobody", "niemand"},
	{"The receiver has not answered yet", "Der Empfänger hat noch nicht geantwortet"},
	{"Also possible:", "Auch möglich:"},
	{"Nothing to do", "Nichts zu tun"},
	{"No message in the last 24 hours.", "Keine Nachricht in den letzten 24 Stunden."},
	{
		"Messages are sent with generation %d only, and the receiver is not known to accept it. Test the receiver. If " +
			"it refuses the certificate, create a link and send it to its administrator.",
		"Nachrichten werden nur noch mit Generation %d gesendet, und es ist nicht bekannt, ob der Empfänger sie " +
			"akzeptiert. Testen Sie den Empfänger. Lehnt er das Zertifikat ab, erstellen Sie einen Link, und senden Sie " +
			"ihn seinem Ansprechpartner.",
	},
	{"Earlier generations that are still available", "Frühere Generationen, die noch verfügbar sind"},
	{
		"Messages of the last 24 hours by hour. The table below has the numbers.",
		"Nachrichten der letzten 24 Stunden nach Stunden. Die Tabelle darunter enthält die Zahlen.",
	},
	{"Messages by hour", "Nachrichten nach Stunden"},
	{"seen in messages", "in Nachrichten gesehen"},
	{"seen in a test", "in einem Test gesehen"},
	{"said by a person", "von einer Person gemeldet"},
	{"Legend of the marks", "Legende der Zeichen"},
	{"Delivered", "Zugestellt"},
	{"delivered", "zugestellt"},
	{"After another attempt", "Nach weiterem Versuch"},
	{"delivered after another attempt", "nach weiterem Versuch zugestellt"},
	{"failed (below the line)", "fehlgeschlagen (unter der Linie)"},
	{"Cancelled", "Abgebrochen"},
	{"cancelled by the sender", "vom Absender abgebrochen"},
	{"Hour", "Stunde"},
	{
		"Generation %d is tried first, and the receiver is not known to accept it. Until %s, messages that it refuses " +
			"are sent with an older generation. Test the receiver.",
		"Generation %d wird zuerst versucht, und es ist nicht bekannt, ob der Empfänger sie akzeptiert. Bis %s werden " +
			"Nachrichten, die er ablehnt, mit einer älteren Generation gesendet. Testen Sie den Empfänger.",
	},
	{"No link has been created yet.", "Es wurde noch kein Link erstellt."},
	{"deadline on %s", "Frist am %s"},
	{"Switch to generation %d", "Auf Generation %d umstellen"},
	{"Switch back to generation %d", "Auf Generation %d zurückwechseln"},
	{
		"Messages are sent with generation %d only, and the receiver refuses it. Its administrator was mailed on %s: call " +
			"them now.",
		"Nachrichten werden nur noch mit Generation %d gesendet, und der Empfänger lehnt sie ab. Sein Ansprechpartner " +
			"wurde am %s per Mail benachrichtigt: Rufen Sie ihn jetzt an.",
	},
	{
		"The receiver does not accept generation %d yet. Its administrator was mailed on %s, and is reminded. Until then, " +
			"messages use the old certificate.",
		"Der Empfänger akzeptiert Generation %d noch nicht. Sein Ansprechpartner wurde am %s per Mail benachrichtigt und " +
			"wird erinnert. Bis dahin verwenden Nachrichten das alte Zertifikat.",
	},
	{
		"Your system refuses the new certificate. Install it, and test again.",
		"Ihr System lehnt das neue Zertifikat ab. Installieren Sie es, und testen Sie erneut.",
	},
	{
		"The receiver's administrator was mailed the new certificate on %s, and is reminded. Until it is installed, " +
			"messages use the old one.",
		"Der Ansprechpartner des Empfängers hat das neue Zertifikat am %s per Mail erhalten und wird erinnert. Bis es " +
			"installiert ist, verwenden Nachrichten das alte.",
	},
	{
		"Create a link and send it to the receiver's administrator. It leads to the new certificate. Until it is " +
			"installed, messages use the old one.",
		"Erstellen Sie einen Link, und senden Sie ihn dem Ansprechpartner des Empfängers. Er führt zum neuen " +
			"Zertifikat. Bis es installiert ist, verwenden Nachrichten das alte.",
	},
	{
		"No message can be sent, because the certificate is revoked and the CA has not issued the next one.",
		"Es kann keine Nachricht gesendet werden, weil das Zertifikat widerrufen ist und die CA das nächste noch nicht " +
			"ausgestellt hat.",
	},
	{
		"The certificate is revoked, and no message can be sent until the CA issues the next one. The page of the " +
			"certificates shows the request. If there is none, renew the certificate.",
		"Das Zertifikat ist widerrufen, und es kann keine Nachricht gesendet werden, bis die CA das nächste ausstellt. Die " +
			"Seite der Zertifikate zeigt den Antrag. Gibt es keinen, erneuern Sie das Zertifikat.",
	},
	{
		"Messages are sent with generation %d only, and the receiver refuses it. Create a link and send it to its " +
			"administrator now.",
		"Nachrichten werden nur noch mit Generation %d gesendet, und der Empfänger lehnt sie ab. Erstellen Sie einen " +
			"Link, und senden Sie ihn jetzt seinem Ansprechpartner.",
	},
	{"Unclear: %s", "Unklar: %s"},
	{"The receiver asks for no certificate", "Der Empfänger verlangt kein Zertifikat"},
	{
		"On %s at the earliest, if the old certificate is not needed until then",
		"Frühestens am %s, wenn das alte Zertifikat bis dahin nicht gebraucht wird",
	},
	{"unknown: name one", "unbekannt: jetzt eintragen"},
	{"TLS handshake only", "nur TLS-Handshake"},
	{"Choose another test", "Andere Testanfrage wählen"},
	{
		"until the deadline on %s: the receiver must accept the new certificate before then.",
		"bis zur Frist am %s: Der Empfänger muss das neue Zertifikat vorher akzeptieren.",
	},
	{
		"Generations over time: each bar is the validity of one generation, shaded areas are overlaps, and the line is " +
			"today. The text below has the dates.",
		"Generationen im Zeitverlauf: Jeder Balken ist die Gültigkeit einer Generation, schattierte Flächen sind " +
			"Überlappungen, und die Linie ist heute. Der Text darunter enthält die Daten.",
	},
}
