package words

// germanWebhooks holds the texts about webhooks.
var germanWebhooks = []translation{
	{
		"%s already has a webhook %s: choose another name",
		"%s hat schon einen Webhook %s: Wählen Sie einen anderen Namen",
	},
	{
		"%s has %d webhooks, which is the maximum: delete one first",
		"%s hat %d Webhooks, mehr sind nicht möglich: Löschen Sie zuerst einen",
	},
	{
		"%s is an event of the installation: only its own webhooks can have it",
		"%s ist ein Ereignis der Installation: Nur deren eigene Webhooks können es erhalten",
	},
	{"%s is listed twice", "%s ist zweimal aufgeführt"},
	{
		"%s neither opens nor resolves a problem, so %s cannot have it",
		"%s meldet weder den Beginn noch das Ende eines Problems, deshalb kann %s es nicht erhalten",
	},
	{"belongs to the format pagerduty only", "gehört nur zum Format pagerduty"},
	{"belongs to the format ticket only", "gehört nur zum Format ticket"},
	{"cannot be changed: create another webhook", "lässt sich nicht ändern: Legen Sie einen anderen Webhook an"},
	{
		"is missing: PagerDuty shows it as the integration key of the service",
		"fehlt: PagerDuty zeigt ihn als Integration Key des Dienstes",
	},
	{"is not an https URL", "ist keine https-URL"},
	{
		"is not an https URL: use one such as https://hooks.example.com/perennial",
		"ist keine https-URL: Verwenden Sie eine wie https://hooks.example.com/perennial",
	},
	{
		"%d tests run at the moment: wait until one of them ends",
		"Zurzeit laufen %d Tests: Warten Sie, bis einer davon endet",
	},
	{
		"was set for %s: set it again for another host, or create another webhook",
		"gilt für %s: Geben Sie den Wert für einen anderen Host neu an, oder legen Sie einen anderen Webhook an",
	},
	{
		"the webhook %s has %d former secrets that still sign: wait for the end of their overlap, or end all of them by a " +
			"rotation with an overlap of 0",
		"Der Webhook %s hat %d frühere Geheimnisse, die noch signieren: Warten Sie deren Überlappung ab, oder beenden Sie " +
			"alle durch einen Wechsel mit einer Überlappung von 0",
	},
	{
		"must be a value of an HTTP header, such as Bearer and a token",
		"muss der Wert eines HTTP-Headers sein, etwa Bearer und ein Token",
	},
	{"must be between 0 and %d days", "muss zwischen 0 und %d Tagen liegen"},
	{
		"must consist of visible ASCII characters without spaces",
		"muss aus sichtbaren ASCII-Zeichen ohne Leerzeichen bestehen",
	},
	{"must contain certificates in PEM, and at most %d KiB", "muss Zertifikate als PEM enthalten, höchstens %d KiB"},
	{"must not contain a fragment", "darf kein Fragment enthalten"},
	{
		"must not contain a user name or password: use authorization",
		"darf weder Benutzername noch Passwort enthalten: Verwenden Sie authorization",
	},
	{
		"the webhook %s has no secret of its own: change its URL or its routing key instead",
		"Der Webhook %s hat kein eigenes Geheimnis: Ändern Sie stattdessen seine URL oder seinen Routing Key",
	},
	{
		"this delivery is still queued: its next attempt is at %s",
		"Diese Zustellung ist noch eingereiht: Der nächste Versuch ist um %s",
	},
	{
		"the DNS server did not answer in time when %s was looked up",
		"Der DNS-Server hat bei der Auflösung von %s nicht rechtzeitig geantwortet",
	},
	{"the DNS server failed when %s was looked up", "Der DNS-Server konnte %s nicht auflösen"},
	{"the URL of the webhook is not valid: correct it", "Die URL des Webhooks ist ungültig: Korrigieren Sie sie"},
	{"the answer of the endpoint is not valid HTTP", "Die Antwort des Endpunkts ist kein gültiges HTTP"},
	{"the certificate of the endpoint is not trusted: %v", "Dem Zertifikat des Endpunkts wird nicht vertraut: %v"},
	{"the connection to the endpoint failed: %v", "Die Verbindung zum Endpunkt ist fehlgeschlagen: %v"},
	{
		"the endpoint answers 410 Gone, so the webhook was disabled",
		"Der Endpunkt antwortet mit 410 Gone, daher wurde der Webhook abgeschaltet",
	},
	{"the endpoint answers %d %s", "Der Endpunkt antwortet mit %d %s"},
	{
		"the endpoint closed the connection without an answer",
		"Der Endpunkt hat die Verbindung ohne Antwort geschlossen",
	},
	{"the endpoint did not answer within 10 seconds", "Der Endpunkt hat nicht innerhalb von 10 Sekunden geantwortet"},
	{"the endpoint does not speak TLS: %v", "Der Endpunkt spricht kein TLS: %v"},
	{
		"the endpoint redirects (%d), which is not followed: set the URL to which it leads",
		"Der Endpunkt leitet weiter (%d), und Weiterleitungen wird nicht gefolgt: Geben Sie die Ziel-URL an",
	},
	{
		"the host of the webhook is, or resolves to, an address that is not allowed: choose another one, or ask an " +
			"operator to allow it with --allow-target",
		"Der Host des Webhooks ist eine nicht erlaubte Adresse oder wird in eine solche aufgelöst: Wählen Sie einen " +
			"anderen, oder bitten Sie einen Operator, sie mit --allow-target zu erlauben",
	},
	{"the host %s does not exist", "Den Host %s gibt es nicht"},
	{
		"nothing listens at the port of the endpoint (connection refused)",
		"Am Port des Endpunkts lauscht nichts (connection refused)",
	},
	{"this service has no webhooks", "Dieser Dienst hat keine Webhooks"},
	{"unknown format %q: use one of %s", "Unbekanntes Format %q: Verwenden Sie eines von %s"},
	{
		"unknown type %q: docs/webhooks.md lists the types of events",
		"Unbekannter Typ %q: docs/webhooks.md nennt die Typen der Ereignisse",
	},
}
