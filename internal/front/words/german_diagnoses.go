package words

// germanDiagnoses holds the texts of diagnoses.
var germanDiagnoses = []translation{
	{"%s was accepted (%s)", "%s wurde akzeptiert (%s)"},
	{"%s was refused (%s)", "%s wurde abgelehnt (%s)"},
	{"%s: %s", "%s: %s"},
	{"%s with and without a certificate", "%s mit und ohne Zertifikat"},
	{"%s, and %s with generation %d", "%s, und %s mit Generation %d"},
	{"%s, and %s without a certificate", "%s, und %s ohne Zertifikat"},
	{"%s, and no accepted generation to compare with", "%s, und es gibt keine akzeptierte Generation zum Vergleich"},
	{
		"%s, and there was no answer without a certificate to compare with: %s",
		"%s, und es gab keine Antwort ohne Zertifikat zum Vergleich: %s",
	},
	{"%s, which proves nothing about the application", "%s, was nichts über die Anwendung belegt"},
	{"%s, which proves nothing about the certificate", "%s, was nichts über das Zertifikat belegt"},
	{"%s as with generation %d, and %s without a certificate", "%s wie mit Generation %d, und %s ohne Zertifikat"},
	{"%s as without a certificate, and %s with generation %d", "%s wie ohne Zertifikat, und %s mit Generation %d"},
	{"%s; if that is a refusal, the rule is %s", "%s; ist das eine Ablehnung, so lautet die Regel %s"},
	{"no answer in time", "keine rechtzeitige Antwort"},
	{"the TLS handshake succeeded", "der TLS-Handshake ist gelungen"},
	{"the connection was closed: %s", "die Verbindung wurde geschlossen: %s"},
	{
		"the host is, or resolves to, an address that is not allowed for receivers: an operator can allow it with " +
			"--allow-target, for one tenant and port or for all",
		"der Host ist eine Adresse, die für Empfänger nicht erlaubt ist, oder wird in eine solche aufgelöst: Ein " +
			"Operator kann sie mit --allow-target für einen Mandanten und Port oder für alle erlauben",
	},
	{
		"the service or token that holds the private key does not sign at the moment",
		"der Dienst oder das Token mit dem privaten Schlüssel signiert im Moment nicht",
	},
	{
		"TLS accepts every generation, and a message (%s %s) was answered %d. Without a probe, it cannot be tested " +
			"whether the receiver's application accepts them",
		"TLS akzeptiert jede Generation, und eine Nachricht (%s %s) wurde mit %d beantwortet. Ohne Testanfrage lässt " +
			"sich nicht testen, ob auch die Anwendung des Empfängers sie akzeptiert",
	},
	{
		"TLS accepts every generation; without a probe, it cannot be tested whether the receiver's application accepts " +
			"them",
		"TLS akzeptiert jede Generation; ohne Testanfrage lässt sich nicht testen, ob auch die Anwendung des Empfängers " +
			"sie akzeptiert",
	},
	{
		"the host of the endpoint is, or resolves to, an address that is not allowed",
		"Der Host des Endpunkts ist eine nicht erlaubte Adresse oder wird in eine solche aufgelöst",
	},
	{
		"ask an operator to allow the range with --allow-target, or correct the endpoint",
		"Bitten Sie einen Operator, den Bereich mit --allow-target zu erlauben, oder korrigieren Sie den Endpunkt",
	},
	{
		"ask the receiver's administrator to accept certificates for client authentication, not for servers",
		"Bitten Sie den Ansprechpartner des Empfängers, Zertifikate für Client-Authentisierung zu akzeptieren, nicht " +
			"die für Server",
	},
	{
		"ask the receiver's administrator to add our CA: download it at /pki/ca.pem of the service",
		"Bitten Sie den Ansprechpartner des Empfängers, unsere CA hinzuzufügen: Sie steht unter /pki/ca.pem des Dienstes",
	},
	{
		"ask the receiver's administrator to check its clock (NTP)",
		"Bitten Sie den Ansprechpartner des Empfängers, dessen Uhr zu prüfen (NTP)",
	},
	{
		"ask the receiver's administrator to check the authorisation of this sender for %s",
		"Bitten Sie den Ansprechpartner des Empfängers, die Berechtigung dieses Senders für %s zu prüfen",
	},
	{
		"ask the receiver's administrator to check the authorisation of this sender, and the receiver's other checks",
		"Bitten Sie den Ansprechpartner des Empfängers, die Berechtigung dieses Senders anzusehen, und was der " +
			"Empfänger sonst noch prüft",
	},
	{
		"ask the receiver's administrator to enable TLS 1.2 with ECDHE and SHA-256. Until then, an operator can start " +
			"the gateway with GODEBUG=tlsrsakex=1,tlssha1=1, which weakens every connection. A new certificate or another " +
			"key type does not help",
		"Bitten Sie den Ansprechpartner des Empfängers, TLS 1.2 mit ECDHE und SHA-256 zu aktivieren. Bis dahin kann ein " +
			"Operator das Gateway mit GODEBUG=tlsrsakex=1,tlssha1=1 starten, was jede Verbindung schwächt. Ein neues " +
			"Zertifikat oder ein anderer Schlüsseltyp hilft nicht",
	},
	{
		"ask the receiver's administrator to enable client certificates at this address",
		"Bitten Sie den Ansprechpartner des Empfängers, an dieser Adresse Client-Zertifikate zu aktivieren",
	},
	{
		"ask the receiver's administrator to map the new subject as well",
		"Bitten Sie den Ansprechpartner des Empfängers, auch das neue Subject zuzuordnen",
	},
	{
		"ask the receiver's administrator to set the clock (NTP)",
		"Bitten Sie den Ansprechpartner des Empfängers, dessen Uhr zu stellen (NTP)",
	},
	{
		"ask the receiver's administrator whether that is intended: if so, the renewal needs no action",
		"Fragen Sie den Ansprechpartner des Empfängers, ob das so gewollt ist: Wenn ja, ist für die Erneuerung nichts " +
			"zu tun",
	},
	{
		"ask the receiver's administrator whether the system runs and its firewall lets us through; the certificate is " +
			"not the cause",
		"Fragen Sie den Ansprechpartner des Empfängers, ob das System läuft und die Firewall uns durchlässt; am " +
			"Zertifikat liegt es nicht",
	},
	{
		"change the tenant's key type to one that it accepts (rsa2048 is accepted nearly everywhere), and renew the " +
			"certificate with the reason reissue",
		"Wählen Sie für den Mandanten einen Schlüsseltyp, den der Empfänger akzeptiert (rsa2048 fast überall), und " +
			"erneuern Sie das Zertifikat mit dem Grund reissue",
	},
	{
		"check that the endpoint is the right host; then give the arrangement the CA or the key of the receiver's " +
			"certificate",
		"Prüfen Sie, ob der Endpunkt der richtige Host ist; geben Sie der Vereinbarung dann die CA oder den Schlüssel " +
			"vom Zertifikat des Empfängers",
	},
	{
		"check the endpoint's host name; then ask the receiver's administrator",
		"Prüfen Sie den Hostnamen des Endpunkts; fragen Sie dann den Ansprechpartner des Empfängers",
	},
	{
		"check the evidence, and ask the receiver's administrator for its log of %s",
		"Prüfen Sie die Belege, und bitten Sie den Ansprechpartner des Empfängers um das Log vom %s",
	},
	{
		"check the message and its answer, or ask the receiver's administrator for its log of %s",
		"Prüfen Sie die Nachricht und die Antwort, oder bitten Sie den Ansprechpartner des Empfängers um das Log vom %s",
	},
	{
		"choose a path that the receiver answers only with a certificate, such as one that messages use",
		"Wählen Sie einen Pfad, auf den der Empfänger nur mit Zertifikat antwortet, etwa einen, den Nachrichten " +
			"verwenden",
	},
	{"correct the arrangement's endpoint", "Korrigieren Sie den Endpunkt der Vereinbarung"},
	{
		"every generation is accepted, and a message was answered %d: the sender's permissions are the cause",
		"Jede Generation wird akzeptiert, und eine Nachricht wurde mit %d beantwortet: Es liegt an den Rechten des " +
			"Senders",
	},
	{
		"every generation is accepted, and the latest message (%s %s) was answered %d: the certificate is not the cause",
		"Jede Generation wird akzeptiert, und die letzte Nachricht (%s %s) wurde mit %d beantwortet: Am Zertifikat " +
			"liegt es nicht",
	},
	{"from %s until %s", "von %s bis %s"},
	{
		"give the arrangement a probe that shows the difference, or add a refusal rule",
		"Geben Sie der Vereinbarung eine Testanfrage, die den Unterschied zeigt, oder fügen Sie eine Ablehnungsregel " +
			"hinzu",
	},
	{
		"give the arrangement a probe, and diagnose again",
		"Geben Sie der Vereinbarung eine Testanfrage, und wiederholen Sie die Diagnose",
	},
	{
		"messages show that the receiver accepts every generation that can be presented",
		"Nachrichten zeigen, dass der Empfänger jede Generation akzeptiert, die vorgelegt werden kann",
	},
	{
		"messages with generation %d get an answer that may be a refusal: %s",
		"Nachrichten mit Generation %d erhalten eine Antwort, die eine Ablehnung sein kann: %s",
	},
	{"nothing", "nichts"},
	{"renew the certificate", "Erneuern Sie das Zertifikat"},
	{
		"send the receiver's administrator a link with the certificate",
		"Schicken Sie dem Ansprechpartner des Empfängers einen Link mit dem Zertifikat",
	},
	{
		"send the receiver's administrator a link with the new certificate; it must be installed before %s",
		"Schicken Sie dem Ansprechpartner des Empfängers einen Link mit dem neuen Zertifikat; es muss vor %s " +
			"installiert sein",
	},
	{
		"set the tenant's key type back, and renew the certificate with the reason reissue",
		"Stellen Sie den Schlüsseltyp des Mandanten zurück, und erneuern Sie das Zertifikat mit dem Grund reissue",
	},
	{"the answers do not show the cause", "Die Antworten zeigen die Ursache nicht"},
	{"the endpoint is not a valid URL", "Der Endpunkt ist keine gültige URL"},
	{"the handshake", "Der Handshake"},
	{
		"the handshake was completed, which proves nothing about the application",
		"Der Handshake kam zustande; über die Anwendung beweist das nichts",
	},
	{
		"the key type changed from %s to %s, and the receiver refuses the new one",
		"Der Schlüsseltyp hat sich von %s in %s geändert, und der Empfänger lehnt den neuen ab",
	},
	{
		"the latest message that failed: %s %s at %s, %d with generation %d",
		"Die letzte fehlgeschlagene Nachricht: %s %s um %s, %d mit Generation %d",
	},
	{"the newest certificate expired on %s", "Das neueste Zertifikat ist am %s abgelaufen"},
	{"the probe", "Die Testanfrage"},
	{
		"the receiver accepts every generation that can be presented",
		"Der Empfänger akzeptiert jede Generation, die vorgelegt werden kann",
	},
	{
		"the receiver accepts generation %d but not yet generation %d (SHA-256 %s)",
		"Der Empfänger akzeptiert Generation %d, aber noch nicht Generation %d (SHA-256 %s)",
	},
	{
		"the receiver answers %s to every generation: this is not a renewal problem",
		"Der Empfänger antwortet auf jede Generation mit %s: Mit der Erneuerung hat das nichts zu tun",
	},
	{
		"the receiver answers %s to the probe %s %s with every generation and without a certificate, which proves " +
			"nothing",
		"Der Empfänger antwortet mit %s auf die Testanfrage %s %s, mit jeder Generation und ohne Zertifikat; das " +
			"beweist nichts",
	},
	{
		"the receiver asks for the certificate late, so it is held at TLS 1.2",
		"Der Empfänger verlangt das Zertifikat erst nach dem Handshake, deshalb wird TLS 1.2 verwendet",
	},
	{
		"the receiver closed the connection without an answer",
		"Der Empfänger hat die Verbindung ohne Antwort geschlossen",
	},
	{
		"the receiver completes the TLS handshake with every generation, which proves nothing about its application",
		"Der Empfänger schließt den TLS-Handshake mit jeder Generation ab; über seine Anwendung beweist das nichts",
	},
	{"the receiver does not accept keys of the type %s", "Der Empfänger akzeptiert keine Schlüssel vom Typ %s"},
	{
		"the receiver does not accept the certificate for this purpose: it is for TLS client authentication (extended " +
			"key usage 1.3.6.1.5.5.7.3.2)",
		"Der Empfänger akzeptiert das Zertifikat für diesen Zweck nicht: Es ist für die TLS-Client-Authentisierung " +
			"(Extended Key Usage 1.3.6.1.5.5.7.3.2)",
	},
	{"the receiver does not answer: %s", "Der Empfänger antwortet nicht: %s"},
	{
		"the receiver does not ask for a client certificate in TLS, and answers without one",
		"Der Empfänger verlangt in TLS kein Client-Zertifikat und antwortet auch ohne",
	},
	{
		"the receiver does not ask for a client certificate in TLS, so it cannot identify the sender: a proxy in front " +
			"of it may terminate TLS",
		"Der Empfänger verlangt in TLS kein Client-Zertifikat und kann den Sender so nicht erkennen: Vielleicht endet " +
			"TLS an einem Proxy davor",
	},
	{
		"the receiver does not know generation %s; it answers the same (%s) without a certificate",
		"Der Empfänger kennt Generation %s nicht; ohne Zertifikat antwortet er dasselbe (%s)",
	},
	{
		"the receiver does not trust the CA of our certificate (%s)",
		"Der Empfänger vertraut der CA unseres Zertifikats (%s) nicht",
	},
	{
		"the receiver has installed generation %d and removed generation %s",
		"Der Empfänger hat Generation %d installiert und Generation %s entfernt",
	},
	{"the receiver names these CAs: %s", "Der Empfänger nennt diese CAs: %s"},
	{
		"the receiver reports that our certificate is expired or not yet valid; it is valid %s",
		"Der Empfänger meldet, unser Zertifikat sei abgelaufen oder noch nicht gültig; es gilt %s",
	},
	{
		"the receiver's TLS is too old: %s, with and without a certificate. It may offer only RSA key exchange, SHA-1 " +
			"or versions before TLS 1.2",
		"Das TLS des Empfängers ist zu alt: %s, mit und ohne Zertifikat. Vielleicht bietet er nur " +
			"RSA-Schlüsselaustausch, SHA-1 oder Versionen vor TLS 1.2 an",
	},
	{
		"the receiver's clock is off by %s: according to it, our certificate (%s) is not valid",
		"Die Uhr des Empfängers geht um %s falsch: Nach ihr ist unser Zertifikat (%s) nicht gültig",
	},
	{"the receiver's name cannot be resolved: %s", "Der Name des Empfängers lässt sich nicht auflösen: %s"},
	{
		"the subject changed from %s to %s, and the receiver maps the old one to a user",
		"Das Subject hat sich von %s in %s geändert, und der Empfänger ordnet das alte einem Benutzer zu",
	},
	{
		"the tenant has no certificate that can be presented",
		"Der Mandant hat kein Zertifikat, das vorgelegt werden kann",
	},
	{
		"we do not trust the receiver's own certificate: %s",
		"Dem Zertifikat des Empfängers selbst wird nicht vertraut: %s",
	},
	{"with generation %d: %s", "Mit Generation %d: %s"},
	{"nothing: messages are sent with generation %d", "nichts: Nachrichten werden mit Generation %d gesendet"},
	{"choose generation %d", "Wählen Sie Generation %d"},
	{
		"the receiver accepted generation %d, which is revoked, and does not accept generation %s",
		"Der Empfänger hat Generation %d akzeptiert, die widerrufen ist, und akzeptiert Generation %s nicht",
	},
	{
		"send the receiver's administrator a link with the new certificate, and ask for the revoked one to be removed",
		"Senden Sie dem Ansprechpartner des Empfängers einen Link mit dem neuen Zertifikat, und bitten Sie darum, das " +
			"widerrufene zu entfernen",
	},
	{"without a certificate: %s", "Ohne Zertifikat: %s"},
}
