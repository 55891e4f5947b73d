package words

// germanFiles holds the texts about certificate files.
var germanFiles = []translation{
	{"block %d (%s): %v", "Block %d (%s): %v"},
	{
		"block %d (%s): there is no END line (is the file cut off?)",
		"Block %d (%s): Die END-Zeile fehlt (ist die Datei abgeschnitten?)",
	},
	{"block %d: the BEGIN line is incomplete", "Block %d: Die BEGIN-Zeile ist unvollständig"},
	{"certificate %d is malformed: %v", "Zertifikat %d ist fehlerhaft: %v"},
	{"it does not begin with a certificate", "es beginnt nicht mit einem Zertifikat"},
	{"its content is not base64", "der Inhalt ist nicht base64"},
	{"malformed PKCS#7: %v", "Fehlerhaftes PKCS#7: %v"},
	{
		"neither a DER certificate nor PKCS#7 nor PKCS#12: %v",
		"Weder ein DER-Zertifikat noch PKCS#7 noch PKCS#12: %v",
	},
	{
		"not a certificate: use PEM (-----BEGIN CERTIFICATE-----), DER, PKCS#7 or PKCS#12",
		"Kein Zertifikat: Verwenden Sie PEM (-----BEGIN CERTIFICATE-----), DER, PKCS#7 oder PKCS#12",
	},
	{
		"not PKCS#12 with a private key and its certificate",
		"Kein PKCS#12 mit einem privaten Schlüssel und seinem Zertifikat",
	},
	{
		"this is a Java key store: convert it with \"keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 " +
			"-deststoretype PKCS12\", and use FILE.p12",
		"Das ist ein Java-Keystore: Wandeln Sie ihn mit \"keytool -importkeystore -srckeystore FILE -destkeystore " +
			"FILE.p12 -deststoretype PKCS12\" um, und verwenden Sie FILE.p12",
	},
	{"the file contains %q but no certificate", "Die Datei enthält %q, aber kein Zertifikat"},
	{
		"the file contains a private key but no certificate: use the certificate, and do not share the private key",
		"Die Datei enthält einen privaten Schlüssel, aber kein Zertifikat: Verwenden Sie das Zertifikat, und geben Sie " +
			"den privaten Schlüssel nicht weiter",
	},
	{"the file contains no certificate", "Die Datei enthält kein Zertifikat"},
	{"the file is empty", "Die Datei ist leer"},
	{
		"the file is larger than %d MiB, so it is not a certificate file",
		"Die Datei ist größer als %d MiB, also keine Zertifikatsdatei",
	},
	{
		"this PKCS#12 file asks for more than %d iterations of its key derivation: export it again with fewer",
		"Diese PKCS#12-Datei verlangt mehr als %d Iterationen der Schlüsselableitung: Exportieren Sie sie mit weniger",
	},
	{
		"this PKCS#12 file cannot be opened with that password",
		"Diese PKCS#12-Datei lässt sich mit diesem Passwort nicht öffnen",
	},
	{
		"this PKCS#12 file has no MAC, so nothing shows whether it was changed: export it again with a password and a MAC",
		"Diese PKCS#12-Datei hat keinen MAC, es ist also nicht erkennbar, ob sie verändert wurde: Exportieren Sie sie " +
			"mit Passwort und MAC",
	},
}
