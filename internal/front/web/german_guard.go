package web

// germanGuard holds the German texts of the page about the guard.
var germanGuard = []translation{
	{"Accept", "Akzeptieren"},
	{"Accepted certificates", "Akzeptierte Zertifikate"},
	{"Arrangements: %s", "Vereinbarungen: %s"},
	{
		"Ask %s over a channel that you know, and compare the SHA-256. Then decide.",
		"Fragen Sie %s auf einem Weg, den Sie kennen, und vergleichen Sie den SHA-256. Entscheiden Sie dann.",
	},
	{"Certificate of %s", "Zertifikat von %s"},
	{
		"Certificates of the configuration are changed in its file. What you decide here stays until you decide again.",
		"Zertifikate der Konfiguration ändern Sie in deren Datei. Was Sie hier entscheiden, gilt, bis Sie neu entscheiden.",
	},
	{"Certificates of partners", "Zertifikate von Partnern"},
	{
		"Certificates that need your decision: %d. Until then, calls with them follow the partner's on_hold.",
		"Zertifikate, die Ihre Entscheidung erfordern: %d. Bis dahin werden Aufrufe damit so behandelt, wie on_hold des " +
			"Partners es festlegt.",
	},
	{"Decided by", "Entschieden durch"},
	{"Guard", "Guard"},
	{"Is this a certificate of %s?", "Ist das ein Zertifikat von %s?"},
	{
		"It came at a time at which the partner is not expected to renew its certificate.",
		"Es kam zu einem Zeitpunkt, zu dem keine Erneuerung durch den Partner zu erwarten ist.",
	},
	{"It could belong to more than one partner.", "Es könnte zu mehr als einem Partner gehören."},
	{"It has another subject than the known certificate.", "Es hat ein anderes Subject als das bekannte Zertifikat."},
	{
		"It is a second new certificate within one renewal.",
		"Es ist ein zweites neues Zertifikat innerhalb einer Erneuerung.",
	},
	{
		"It is issued by a CA that is not known for this partner. Anyone can create such a certificate with the " +
			"partner's name.",
		"Es stammt von einer CA, die für diesen Partner nicht bekannt ist. Ein solches Zertifikat mit dem Namen des " +
			"Partners kann jeder erstellen.",
	},
	{"It was issued before the known certificate.", "Es wurde vor dem bekannten Zertifikat ausgestellt."},
	{
		"Its key is weaker than that of the known certificate.",
		"Sein Schlüssel ist schwächer als der des bekannten Zertifikats.",
	},
	{"Needs your decision", "Entscheidung erforderlich"},
	{
		"No certificate needs your decision. Partners renew theirs, and the guard accepts the new ones by rule.",
		"Kein Zertifikat erfordert Ihre Entscheidung. Partner erneuern ihre Zertifikate, und der Guard akzeptiert die " +
			"neuen nach seinen Regeln.",
	},
	{"Partner", "Partner"},
	{"Partners", "Partner"},
	{"Partners call", "Partner rufen auf"},
	{"Proxies ask", "Proxys fragen"},
	{"Refuse", "Ablehnen"},
	{"Seen first", "Zuerst gesehen"},
	{"Successor expected", "Nachfolger erwartet"},
	{"The certificate of %s is accepted from now on.", "Das Zertifikat von %s wird ab jetzt akzeptiert."},
	{"The certificate of %s is refused from now on.", "Das Zertifikat von %s wird ab jetzt abgelehnt."},
	{
		"The rule of this partner accepts only certificates that are listed.",
		"Nach der Regel dieses Partners werden nur aufgeführte Zertifikate akzeptiert.",
	},
	{"%s to %s", "%s bis %s"},
	{"configuration", "Konfiguration"},
	{"feed", "Feed"},
	{"feed %s", "Feed %s"},
	{"from %s", "ab %s"},
	{"rule", "Regel"},
}
