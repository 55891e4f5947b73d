package words

// germanWatched holds the reasons why the source of a watched certificate cannot be read.
var germanWatched = []translation{
	{
		"%s has more than %d certificate files, or more than %d MiB of them: use a folder for each partner",
		"%s enthält mehr als %d Zertifikatsdateien oder mehr als %d MiB davon: Verwenden Sie für jeden Partner einen " +
			"eigenen Ordner",
	},
	{"%s is neither a folder nor a file", "%s ist weder ein Ordner noch eine Datei"},
	{"%s cannot be read: %v", "%s kann nicht gelesen werden: %v"},
	{"no file in %s is a certificate (%s)", "Keine Datei in %s ist ein Zertifikat (%s)"},
	{
		"nothing listens at the port of the server (connection refused)",
		"Am Port des Servers lauscht nichts (connection refused)",
	},
	{"the answer of the server is not valid HTTP, or redirects to an invalid URL",
		"Die Antwort des Servers ist kein gültiges HTTP oder leitet auf eine ungültige URL weiter"},
	{
		"the address of the source is not a valid URL: correct it",
		"Die Adresse der Quelle ist keine gültige URL: Korrigieren Sie sie",
	},
	{"the certificate is damaged: %v", "Das Zertifikat ist beschädigt: %v"},
	{
		"the certificate of the server is not trusted: %v",
		"Dem Zertifikat des Servers wird nicht vertraut: %v",
	},
	{"the connection to the server failed: %v", "Die Verbindung zum Server ist fehlgeschlagen: %v"},
	{
		"the host of the source is, or resolves to, an address that is not allowed: choose another one, or ask an " +
			"operator to allow it with --allow-target",
		"Der Host der Quelle ist eine nicht erlaubte Adresse oder wird in eine solche aufgelöst: Wählen Sie einen " +
			"anderen, oder bitten Sie einen Operator, sie mit --allow-target zu erlauben",
	},
	{"the server answers %d %s", "Der Server antwortet mit %d %s"},
	{
		"the server closed the connection without an answer",
		"Der Server hat die Verbindung ohne Antwort geschlossen",
	},
	{"the server did not answer in time", "Der Server hat nicht rechtzeitig geantwortet"},
	{"the server does not speak TLS: %v", "Der Server spricht kein TLS: %v"},
	{"the server presents no certificate", "Der Server legt kein Zertifikat vor"},
	{
		"the server redirects more than %d times",
		"Der Server leitet mehr als %d-mal weiter",
	},
	{
		"the server redirects to a URL that is not https",
		"Der Server leitet auf eine URL weiter, die nicht https ist",
	},
	{
		"the service may not read %s: change its permissions",
		"Der Dienst darf %s nicht lesen: Ändern Sie die Berechtigungen",
	},
	{
		"the source is larger than %d MiB, so it is not a certificate file",
		"Die Quelle ist größer als %d MiB und damit keine Zertifikatsdatei",
	},
	{
		"the source shows no certificate in PEM, DER, PKCS#7 or PKCS#12",
		"Die Quelle zeigt kein Zertifikat in PEM, DER, PKCS#7 oder PKCS#12",
	},
	{"there is no file or folder %s", "Es gibt keine Datei und keinen Ordner %s"},
}
