package words

// germanDomain holds the texts of package tenancy.
var germanDomain = []translation{
	{
		"%d is more than key users may set: use up to %d, or ask an operator",
		"%d ist mehr, als Key-User einstellen dürfen: Verwenden Sie höchstens %d, oder fragen Sie einen Operator",
	},
	{"%d is out of range: use 1 to %d", "%d liegt außerhalb des Bereichs: Verwenden Sie 1 bis %d"},
	{
		"%q is not NAME=VALUE: an example is status=302 header=Location contains=/login",
		"%q ist nicht NAME=WERT: Ein Beispiel ist status=302 header=Location contains=/login",
	},
	{"%q is not supported: use 1.2 or 1.3", "%q wird nicht unterstützt: Verwenden Sie 1.2 oder 1.3"},
	{
		"%s contains characters that cannot be printed: remove control characters and line breaks",
		"%s enthält nicht druckbare Zeichen: Entfernen Sie Steuerzeichen und Zeilenumbrüche",
	},
	{
		"%s is not an absolute URL: use one such as https://erp.example.com/orders",
		"%s ist keine absolute URL: Verwenden Sie eine wie https://erp.example.com/orders",
	},
	{"%s is not an absolute path", "%s ist kein absoluter Pfad"},
	{
		"%s is not an https URL: use one such as https://partner.example.com/certificate.cer",
		"%s ist keine https-URL: Verwenden Sie eine wie https://partner.example.com/certificate.cer",
	},
	{
		"%s is not the address of a TLS server: use one such as erp.example.com:443",
		"%s ist nicht die Adresse eines TLS-Servers: Verwenden Sie eine wie erp.example.com:443",
	},
	{
		"%s is too short: use at least %s, or leave it out for that of the policy",
		"%s ist zu kurz: Verwenden Sie mindestens %s, oder lassen Sie die Angabe weg, damit die des Regelwerks gilt",
	},
	{"Answer it with yes: %s", "Beantworten Sie sie mit Ja: %s"},
	{"Make the person a key user of the tenant.", "Machen Sie die Person zum Key-User des Mandanten."},
	{
		"Open Business Task Management and choose Subscribe to Task; it applies from the next notice on.",
		"Öffnen Sie das Business Task Management und wählen Sie Subscribe to Task; es gilt ab der nächsten " +
			"Benachrichtigung.",
	},
	{
		"a key user's token needs a tenant and a user",
		"Das Token eines Key-Users braucht einen Mandanten und einen Benutzer",
	},
	{
		"a sender's token needs a tenant and no user",
		"Das Token eines Senders braucht einen Mandanten und keinen Benutzer",
	},
	{"a space is missing after the value of %s", "Nach dem Wert von %s fehlt ein Leerzeichen"},
	{
		"a token for the role %s is for all tenants: leave out tenant and user",
		"Ein Token für die Rolle %s gilt für alle Mandanten: Lassen Sie Mandant und Benutzer weg",
	},
	{"a value is longer than %d bytes", "Ein Wert ist länger als %d Bytes"},
	{
		"an account cannot have the role %s: use the token of an operator or of a key user",
		"Ein Konto kann die Rolle %s nicht haben: Verwenden Sie das Token eines Operators oder eines Key-Users",
	},
	{
		"an address needs a kind: use folder, url or server",
		"Zu einer Adresse gehört eine Art: Verwenden Sie folder, url oder server",
	},
	{
		"cannot be combined with server_ca: use one of them",
		"lässt sich nicht mit server_ca kombinieren: Verwenden Sie eines von beiden",
	},
	{"contains %s twice", "enthält %s zweimal"},
	{
		"Do you want to send an e-mail to key users when they get a task?",
		"Sollen Key-User eine E-Mail erhalten, wenn sie eine Aufgabe bekommen?",
	},
	{
		"Key users who chose Subscribe to Task are then mailed about every later task. Earlier tasks are never mailed.",
		"Key-User, die Subscribe to Task gewählt haben, erhalten dann zu jeder späteren Aufgabe eine Mail, zu früheren " +
			"nicht.",
	},
	{
		"contains a user: an operator sets the password of a proxy with --egress-proxy of the service",
		"enthält einen Benutzer: Das Passwort eines Proxys setzt ein Operator mit --egress-proxy des Dienstes",
	},
	{
		"contains characters that cannot be printed: remove control characters",
		"enthält nicht druckbare Zeichen: Entfernen Sie Steuerzeichen",
	},
	{
		"contains no certificate: paste the receiver's CA certificates in PEM",
		"enthält kein Zertifikat: Fügen Sie die CA-Zertifikate des Empfängers als PEM ein",
	},
	{"has more than %d rules", "hat mehr als %d Regeln"},
	{"has more than 20 entries", "hat mehr als 20 Einträge"},
	{
		"invalid domain in the e-mail address %s: it has no form for DNS (RFC 5891)",
		"Ungültige Domain in der E-Mail-Adresse %s: Für DNS gibt es keine Form davon (RFC 5891)",
	},
	{
		"invalid e-mail address %s: use one such as alice@example.com",
		"Ungültige E-Mail-Adresse %s: Verwenden Sie eine wie alice@example.com",
	},
	{
		"invalid name %s: use 1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends",
		"Ungültiger Name %s: Verwenden Sie 1 bis 63 Zeichen aus a-z, 0-9 und -, mit Buchstabe oder Ziffer an beiden " +
			"Enden",
	},
	{
		"invalid name %s: use 1 to 63 of a-z, 0-9 and . _ @ -, with a letter or digit at both ends",
		"Ungültiger Name %s: Verwenden Sie 1 bis 63 Zeichen aus a-z, 0-9 und . _ @ -, mit Buchstabe oder Ziffer an " +
			"beiden Enden",
	},
	{
		"invalid path %q: use an absolute path such as /health",
		"Ungültiger Pfad %q: Verwenden Sie einen absoluten Pfad wie /health",
	},
	{
		"invalid status %d: only 400 to 499 can mean that a certificate is refused",
		"Ungültiger Status %d: Nur 400 bis 499 können bedeuten, dass ein Zertifikat abgelehnt wird",
	},
	{"invalid status %d: use 200 to 599", "Ungültiger Status %d: Verwenden Sie 200 bis 599"},
	{"invalid status %q: use a number such as 302", "Ungültiger Status %q: Verwenden Sie eine Zahl wie 302"},
	{"is longer than %d bytes", "ist länger als %d Bytes"},
	{"is longer than %d characters", "ist länger als %d Zeichen"},
	{
		"is missing: use GET, HEAD or OPTIONS, or leave out path and statuses for a TLS handshake only",
		"fehlt: Verwenden Sie GET, HEAD oder OPTIONS, oder lassen Sie Pfad und Status weg, um nur den TLS-Handshake zu " +
			"testen",
	},
	{
		"is not a pin: use \"sha256/\" and the base64 of the SHA-256 of the receiver's public key (RFC 7469, section " +
			"2.4)",
		"ist kein Pin: Verwenden Sie \"sha256/\" und das Base64 des SHA-256 vom öffentlichen Schlüssel des Empfängers " +
			"(RFC 7469, Abschnitt 2.4)",
	},
	{
		"is not a proxy: use none, or a URL such as http://proxy.example.com:3128",
		"ist kein Proxy: Verwenden Sie none, oder eine URL wie http://proxy.example.com:3128",
	},
	{"is not valid UTF-8", "ist kein gültiges UTF-8"},
	{
		"messages cannot present the %s: use tenant, or a credential that you have added",
		"Nachrichten können %s nicht vorlegen: Verwenden Sie tenant, oder ein Credential, das Sie hinzugefügt haben",
	},
	{"must be an https URL for a client certificate", "muss für ein Client-Zertifikat eine https-URL sein"},
	{"must not be empty", "darf nicht leer sein"},
	{"must not contain a query or a fragment", "darf weder Query noch Fragment enthalten"},
	{"must not contain a user name or password", "darf weder Benutzername noch Passwort enthalten"},
	{
		"only tokens of senders and gateways can be bound to a workload",
		"Nur Tokens von Sendern und Gateways können an einen Workload gebunden sein",
	},
	{"the URL must not contain a fragment", "Die URL darf kein Fragment enthalten"},
	{"the URL must not contain a user name or password", "Die URL darf weder Benutzername noch Passwort enthalten"},
	{"the address is longer than %d bytes", "Die Adresse ist länger als %d Bytes"},
	{
		"the message does not fit the tenant's quota of %d bytes for parked messages: send it again after some were " +
			"delivered, or ask an operator for a higher --parked-bytes",
		"Die Nachricht passt nicht in das Kontingent des Mandanten von %d Bytes für geparkte Nachrichten: Senden Sie " +
			"sie erneut, wenn einige zugestellt sind, oder bitten Sie einen Operator um ein höheres --parked-bytes",
	},
	{
		"the part of %s before the @ has letters other than ASCII. Mails to it would need SMTPUTF8 (RFC 6531) at every " +
			"mail server on the way: use an address of ASCII letters",
		"Der Teil von %s vor dem @ enthält andere Buchstaben als ASCII. Mails dorthin bräuchten SMTPUTF8 (RFC 6531) an " +
			"jedem Mailserver unterwegs: Verwenden Sie eine Adresse aus ASCII-Buchstaben",
	},
	{"the rule %q %s", "Die Regel %q %s"},
	{
		"the scoping question \"send e-mail for the task\" is answered yes",
		"Die Scoping-Frage „E-Mail zur Aufgabe senden“ ist mit Ja beantwortet",
	},
	{
		"the tenant's quota of %d parked messages is used up: send the message again after some were delivered, or ask " +
			"an operator for a higher --parked-messages",
		"Das Kontingent des Mandanten von %d geparkten Nachrichten ist aufgebraucht: Senden Sie die Nachricht erneut, " +
			"wenn einige zugestellt sind, oder bitten Sie einen Operator um ein höheres --parked-messages",
	},
	{"the user chose Subscribe to Task", "Der Benutzer hat die Aufgabe abonniert (Subscribe to Task)"},
	{
		"the user has the task: is a key user of the tenant",
		"Der Benutzer hat die Aufgabe: Er ist Key-User des Mandanten",
	},
	{"the value of %s has no closing quote", "Beim Wert von %s fehlt das schließende Anführungszeichen"},
	{"the value of %s is empty", "Der Wert von %s ist leer"},
	{
		"there are more than %d systems: watch the certificate under several names",
		"Es sind mehr als %d Systeme: Beobachten Sie das Zertifikat unter mehreren Namen",
	},
	{"unknown identifier %q: use %s", "Unbekanntes Merkmal %q: Verwenden Sie %s"},
	{
		"unknown key type %q: use p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519",
		"Unbekannter Schlüsseltyp %q: Verwenden Sie p256, p384, p521, rsa2048, rsa3072, rsa4096 oder ed25519",
	},
	{"unknown kind %s: use folder, url or server", "Unbekannte Art %s: Verwenden Sie folder, url oder server"},
	{
		"unknown mark %q: use preset, status, header, contains, type, text",
		"Unbekanntes Merkmal %q: Verwenden Sie preset, status, header, contains, type, text",
	},
	{
		"unknown method %q: use client-certificate, basic or none",
		"Unbekannte Methode %q: Verwenden Sie client-certificate, basic oder none",
	},
	{
		"unknown role %q: use operator, key-user, sender or gateway",
		"Unbekannte Rolle %q: Verwenden Sie operator, key-user, sender oder gateway",
	},
	{
		"unknown strategy %q: use adaptive, confirmed, manual or immediate",
		"Unbekannte Strategie %q: Verwenden Sie adaptive, confirmed, manual oder immediate",
	},
	{
		"unknown time zone %q: use an IANA name such as Europe/Berlin",
		"Unbekannte Zeitzone %q: Verwenden Sie einen IANA-Namen wie Europe/Berlin",
	},
	{"unsupported language %q: use en or de", "Die Sprache %q wird nicht unterstützt: Verwenden Sie en oder de"},
	{
		"unsupported method %q: use GET, HEAD or OPTIONS",
		"Die Methode %q wird nicht unterstützt: Verwenden Sie GET, HEAD oder OPTIONS",
	},
	{"generation %d does not exist or is retired", "Generation %d gibt es nicht, oder sie ist stillgelegt"},
	{
		"generation %d does not exist or is retired: usable generations: %s",
		"Generation %d gibt es nicht, oder sie ist stillgelegt: nutzbare Generationen: %s",
	},
	{"generation %d is expired or revoked", "Generation %d ist abgelaufen oder widerrufen"},
	{
		"generation %d expires on %s, too soon to go back to it; it is tried anyway if the receiver refuses generation %d",
		"Generation %d läuft am %s ab, zu früh für eine Rückkehr zu ihr; sie wird ohnehin versucht, wenn der Empfänger " +
			"Generation %d ablehnt",
	},
	{
		"the receiver accepted generation %d, and accepts nothing older than what it accepted last",
		"Der Empfänger hat Generation %d akzeptiert, und er akzeptiert nichts, was älter ist als das zuletzt Akzeptierte",
	},
	{
		"the key users were notified of generation %d too recently: it can be presented from %s on. With the strategy " +
			"adaptive, it is tried earlier if the receiver refuses generation %d",
		"Die Key-User wurden erst kürzlich über Generation %d benachrichtigt: Sie kann ab %s vorgelegt werden. Mit der " +
			"Strategie adaptive wird sie früher versucht, wenn der Empfänger Generation %d ablehnt",
	},
	{
		"the key users were notified of generation %d too recently: it can be presented from %s on; it is tried anyway " +
			"if the receiver refuses generation %d",
		"Die Key-User wurden erst kürzlich über Generation %d benachrichtigt: Sie kann ab %s vorgelegt werden; sie wird " +
			"ohnehin versucht, wenn der Empfänger Generation %d ablehnt",
	},
}
