package web

// germanArrangement holds the German texts of the pages of an arrangement, and of the administrators of receivers.
var germanArrangement = []translation{
	{" (%d messages)", " (%d Nachrichten)"},
	{"%s has been created. Its roll-overs are shown here.", "%s wurde angelegt. Hier sehen Sie die Umstellungen."},
	{
		"%s has been deleted. No more messages are sent through it.",
		"%s wurde gelöscht. Darüber werden keine Nachrichten mehr gesendet.",
	},
	{
		"%s sends messages to your system with a client certificate. The certificate has been renewed, and only the new " +
			"one is used now. Test whether your system accepts it, and install it if not.",
		"%s sendet Nachrichten mit einem Client-Zertifikat an Ihr System. Das Zertifikat wurde erneuert, und nur noch " +
			"das neue wird verwendet. Testen Sie, ob Ihr System es akzeptiert, und installieren Sie es andernfalls.",
	},
	{
		"%s sends messages to your system with a client certificate. The certificate has been renewed. Please add " +
			"the new one next to the old one, or replace the old one. Messages are delivered either way.",
		"%s sendet Nachrichten mit einem Client-Zertifikat an Ihr System. Das Zertifikat wurde erneuert. Bitte " +
			"installieren Sie das neue zusätzlich zum alten, oder ersetzen Sie das alte. Nachrichten werden in beiden Fällen " +
			"zugestellt.",
	},
	{", then ", ", dann "},
	{"1. Download the certificate", "1. Zertifikat herunterladen"},
	{"2. Install it", "2. Installieren"},
	{"3. Test it", "3. Testen"},
	{
		"A message is tried with generation %s, in this order, before a refusal is returned to its sender.",
		"Eine Nachricht wird der Reihe nach mit Generation %s versucht, bevor der Absender eine Ablehnung erhält.",
	},
	{"Adaptive is the right choice in most cases", "Adaptiv ist in den meisten Fällen richtig"},
	{"It cannot be changed later, because the receiver knows it",
		"Kann später nicht geändert werden, weil der Empfänger es kennt"},
	{
		"Adaptive: as soon as a person, a test or a message shows that the receiver is ready",
		"Adaptiv: sobald eine Person, ein Test oder eine Nachricht zeigt, dass der Empfänger bereit ist",
	},
	{"Administrator", "Ansprechpartner"},
	{"Administrator's e-mail", "E-Mail-Adresse des Ansprechpartners"},
	{"All messages", "Alle Nachrichten"},
	{
		"An arrangement describes one connection: the system that gets your messages, and its address. Messages are " +
			"sent with your certificate.",
		"Eine Vereinbarung beschreibt eine Verbindung: das System, an das Ihre Nachrichten gehen, und dessen Adresse. " +
			"Nachrichten werden mit Ihrem Zertifikat gesendet.",
	},
	{"CA chain", "CA-Kette"},
	{"CA of the server certificate (PEM)", "CA des Serverzertifikats (PEM)"},
	{"Choose a generation.", "Wählen Sie eine Generation."},
	{
		"Compare the SHA-256 fingerprint with the one that the receiver's administrator gives you through another " +
			"channel. Then trust this key, or paste the CA above.",
		"Vergleichen Sie den SHA-256-Fingerabdruck mit dem, den Ihnen der Ansprechpartner des Empfängers auf einem " +
			"anderen Weg mitteilt. Vertrauen Sie dann diesem Schlüssel, oder fügen Sie oben die CA ein.",
	},
	{
		"Confirmed: as soon as a person or a test confirms that the receiver is ready",
		"Bestätigt: sobald eine Person oder ein Test bestätigt, dass der Empfänger bereit ist",
	},
	{"Connection test", "Verbindungstest"},
	{"Contact", "Kontakt"},
	{"Create link", "Link erstellen"},
	{"Create without a test", "Ohne Test anlegen"},
	{"Created", "Erstellt"},
	{"Delete arrangement", "Vereinbarung löschen"},
	{"Duration", "Dauer"},
	{"Edit", "Bearbeiten"},
	{"Edit %s", "%s bearbeiten"},
	{"Endpoint", "Endpunkt"},
	{"Existing receiver", "Vorhandener Empfänger"},
	{
		"A GET request to this path must not change anything, and must get a different answer without a certificate. A " +
			"path that answers everyone, as /health often does, proves nothing. Without a path, only the TLS handshake is " +
			"tested, which can prove a refusal but not an acceptance.",
		"Eine GET-Anfrage an diesen Pfad darf nichts ändern und muss ohne Zertifikat eine andere Antwort erhalten. Ein " +
			"Pfad, der jedem gleich antwortet (häufig /health), beweist nichts. Ohne Pfad wird nur der TLS-Handshake " +
			"getestet. Er kann beweisen, dass ein Zertifikat abgelehnt wird, aber nicht, dass es akzeptiert wird.",
	},
	{"Answers that refuse a certificate", "Antworten, die ein Zertifikat ablehnen"},
	{
		"Besides 401 and 403, one rule per line: status=302 header=Location contains=/login, or preset=sap-login",
		"Zusätzlich zu 401 und 403, eine Regel je Zeile: status=302 header=Location contains=/login oder preset=sap-login",
	},
	{
		"For example crm-to-erp. It is part of the address that applications send to.",
		"Zum Beispiel crm-to-erp. Teil der Adresse, an die Anwendungen senden.",
	},
	{"For example erp", "Zum Beispiel erp"},
	{"Generation %d is used from now on.", "Generation %d wird ab jetzt verwendet."},
	{"Generations at this receiver", "Generationen bei diesem Empfänger"},
	{
		"How receivers check certificates, and what still works after a renewal",
		"Wie Empfänger Zertifikate prüfen und was nach einer Erneuerung noch funktioniert",
	},
	{"How the receiver checks certificates", "Wie der Empfänger Zertifikate prüft"},
	{"I have installed it, test now", "Installiert, jetzt testen"},
	{
		"If the product is listed, its usual check is used",
		"Steht das Produkt in der Liste, gilt, was es üblicherweise prüft",
	},
	{
		"Immediate: at the renewal, even if the receiver does not accept the new certificate",
		"Sofort: mit der Erneuerung, auch wenn der Empfänger das neue Zertifikat nicht akzeptiert",
	},
	{"Install before", "Installieren bis"},
	{
		"The sender of the link may be lying, and this page cannot prove otherwise. A familiar issuer proves nothing " +
			"either, because the same CA issues the certificates of other companies.",
		"Wer Ihnen den Link geschickt hat, könnte lügen, und diese Seite kann das Gegenteil nicht beweisen. Auch ein " +
			"bekannter Aussteller beweist nichts, denn dieselbe CA stellt auch Zertifikate für andere Unternehmen aus.",
	},
	{
		"No earlier certificate is known, so your own system has nothing to compare this one with.",
		"Ein früheres Zertifikat ist nicht bekannt. In Ihrem eigenen System gibt es daher nichts, womit Sie dieses " +
			"vergleichen können.",
	},
	{
		"In your own system, look up the certificate that it accepts for %s. Its subject must be %s, and its " +
			"issuer must be %s. If one of them differs, do not install the new certificate.",
		"Sehen Sie sich in Ihrem eigenen System das Zertifikat an, das es für %s akzeptiert. Sein Subject muss %s sein und " +
			"sein Aussteller %s. Weicht eines davon ab, installieren Sie das neue Zertifikat nicht.",
	},
	{
		"This time both change: the subject to %s, and the issuer to %s. Your system cannot confirm them, so ask your " +
			"contact to confirm both.",
		"Diesmal ändert sich beides: Das Subject lautet künftig %s und der Aussteller %s. Mit Ihrem System können Sie " +
			"das nicht überprüfen. Lassen Sie sich beides von Ihrem Kontakt bestätigen.",
	},
	{
		"This time the subject changes to %s, and the issuer stays the same. Your system cannot confirm the new " +
			"subject, so ask your contact to confirm it.",
		"Diesmal ändert sich das Subject: Es lautet künftig %s. Der Aussteller bleibt gleich. Mit Ihrem System können " +
			"Sie das neue Subject nicht überprüfen. Lassen Sie es sich von Ihrem Kontakt bestätigen.",
	},
	{
		"This time the issuer changes to %s, and the subject stays the same. Your system cannot confirm the new issuer, " +
			"so ask your contact to confirm it.",
		"Diesmal ändert sich der Aussteller: Er lautet künftig %s. Das Subject bleibt gleich. Mit Ihrem System können " +
			"Sie den neuen Aussteller nicht überprüfen. Lassen Sie ihn sich von Ihrem Kontakt bestätigen.",
	},
	{
		"The new certificate has the same subject and the same issuer. Check this in the file that you " +
			"downloaded.",
		"Das neue Zertifikat hat dasselbe Subject und denselben Aussteller. Prüfen Sie das in der heruntergeladenen Datei.",
	},
	{
		"Then compare the SHA-256 fingerprint above with the one that your contact at %s reads to you, for example by " +
			"phone. Use a contact that you already knew, not one from this page or from the mail with the link.",
		"Vergleichen Sie dann den SHA-256-Fingerabdruck oben mit dem, den Ihnen Ihr Kontakt bei %s vorliest, zum " +
			"Beispiel am Telefon. Wenden Sie sich an jemanden, den Sie schon vorher kannten, nicht an einen Kontakt von " +
			"dieser Seite oder aus der Mail mit dem Link.",
	},
	{
		"This page never asks for a password or a private key. It shows only public information, so you may pass " +
			"it on.",
		"Diese Seite fragt nie nach einem Passwort oder einem privaten Schlüssel. Sie zeigt nur öffentliche Angaben und " +
			"darf weitergegeben werden.",
	},
	{"Is this page genuine?", "Ist diese Seite echt?"},
	{"Is this the right server?", "Ist das der richtige Server?"},
	{"Issued by", "Ausgestellt von"},
	{
		"It may be incomplete, expired or revoked. Ask for a new link.",
		"Möglicherweise ist er unvollständig, abgelaufen oder widerrufen. Bitten Sie um einen neuen Link.",
	},
	{
		"Its messages are then refused, and everything known about the receiver is deleted.",
		"Ihre Nachrichten werden dann abgewiesen, und alles, was über den Empfänger bekannt ist, wird gelöscht.",
	},
	{"Latest messages", "Letzte Nachrichten"},
	{"Link for %s, shown only once:", "Link für %s (wird nur einmal angezeigt):"},
	{"Links", "Links"},
	{"Manual: when a person decides", "Manuell: wenn eine Person sich dafür entscheidet"},
	{"Mark as installed", "Als installiert markieren"},
	{"Messages", "Nachrichten"},
	{
		"Messages are logged without their bodies, for 30 days by default. Messages with the same outcome can share an " +
			"entry, which shows their number.",
		"Nachrichten werden ohne Inhalt protokolliert und standardmäßig 30 Tage aufbewahrt. Nachrichten mit demselben " +
			"Ergebnis können sich einen Eintrag teilen, der ihre Anzahl nennt.",
	},
	{"Messages are sent to", "Nachrichten gehen an"},
	{
		"Messages are sent with the new certificate only.",
		"Nachrichten werden nur noch mit dem neuen Zertifikat gesendet.",
	},
	{"Name of the new receiver", "Name des neuen Empfängers"},
	{"Names", "Namen"},
	{"New CA", "Neue CA"},
	{"New certificate of %s", "Neues Zertifikat von %s"},
	{
		"New key, same CA and subject (every renewal)",
		"Neuer Schlüssel, gleiche CA und gleiches Subject (jede Erneuerung)",
	},
	{"Next step: %s", "Nächster Schritt: %s"},
	{"Change the arrangement", "Vereinbarung ändern"},
	{"Choose the generation", "Generation wählen"},
	{"Diagnosis", "Diagnose"},
	{"Go to the certificates", "Zu den Zertifikaten"},
	{"No messages yet.", "Noch keine Nachrichten."},
	{
		"No messages yet. Applications send them to the gateway:",
		"Noch keine Nachrichten. Anwendungen senden sie an das Gateway:",
	},
	{
		"Recorded: generation %d is installed. Messages or a test will show whether it is accepted.",
		"Vermerkt: Generation %d ist installiert. Nachrichten oder ein Test zeigen, ob sie akzeptiert wird.",
	},
	{
		"Generation %d is in use. The old one stays available until the receiver has not needed it for 28 days.",
		"Generation %d wird verwendet. Die alte bleibt verfügbar, bis der Empfänger sie 28 Tage lang nicht " +
			"benötigt hat.",
	},
	{"Messages are sent with generation %d.", "Nachrichten werden mit Generation %d gesendet."},
	{
		"The receiver accepts generation %d. Messages use it as soon as they need it.",
		"Der Empfänger akzeptiert Generation %d. Nachrichten verwenden sie, sobald sie sie brauchen.",
	},
	{
		"The receiver accepts generation %d. You can switch to it from %s on, when the notice to the key users ends. " +
			"Messages that the receiver refuses before are sent with it.",
		"Der Empfänger akzeptiert Generation %d. Sie können ab %s darauf umstellen, wenn die Frist der Key-User endet. " +
			"Nachrichten, die der Empfänger vorher ablehnt, werden damit gesendet.",
	},
	{
		"The receiver accepts generation %d. Messages are sent with it from %s on, when the notice to the key users ends. " +
			"If the receiver refuses them before, switch to it, or to the strategy adaptive.",
		"Der Empfänger akzeptiert Generation %d. Nachrichten werden damit ab %s gesendet, wenn die Frist der Key-User " +
			"endet. Lehnt der Empfänger sie vorher ab, stellen Sie darauf um, oder auf die Strategie adaptive.",
	},
	{
		"The receiver accepts generation %d. It is presented from %s on, when the notice to the key users ends. Messages " +
			"that the receiver refuses before are sent with it.",
		"Der Empfänger akzeptiert Generation %d. Sie wird ab %s verwendet, wenn die Frist der Key-User endet. " +
			"Nachrichten, die der Empfänger vorher ablehnt, werden damit gesendet.",
	},
	{
		"Only if its certificate is not from a public CA",
		"Nur nötig, wenn das Zertifikat nicht von einer öffentlichen CA stammt",
	},
	{"Or the pin of the server's public key", "Oder der Pin des öffentlichen Schlüssels des Servers"},
	{"PKCS#7, with the chain", "PKCS#7, mit der Kette"},
	{"Product", "Produkt"},
	{"Receiver", "Empfänger"},
	{"Reported as installed", "Als installiert gemeldet"},
	{"Save without a test", "Ohne Test speichern"},
	{"Strategy", "Strategie"},
	{"Test", "Testen"},
	{"Test again", "Erneut testen"},
	{"Test connection", "Verbindung testen"},
	{"Test path", "Pfad der Testanfrage"},
	{"Test receiver", "Empfänger testen"},
	{"Test result", "Ergebnis des Tests"},
	{
		"Thank you. It works: the receiver accepted the new certificate (%s).",
		"Danke. Es funktioniert: Der Empfänger hat das neue Zertifikat akzeptiert (%s).",
	},
	{
		"Thank you. The receiver could not be tested at the moment. The next messages will show whether it works.",
		"Danke. Der Empfänger konnte gerade nicht getestet werden. Die nächsten Nachrichten zeigen, ob es funktioniert.",
	},
	{
		"Thank you. The receiver gave no clear answer (%s). The next messages will show whether it works.",
		"Danke. Der Empfänger hat keine eindeutige Antwort gegeben (%s). Die nächsten Nachrichten zeigen, ob es " +
			"funktioniert.",
	},
	{"The certificate that you have", "Ihr vorhandenes Zertifikat"},
	{
		"The issuing CA and its root change. A system that trusts the old CA must trust the new one too.",
		"Die ausstellende CA und ihre Root-CA ändern sich. Ein System, das der alten CA vertraut, muss auch der neuen " +
			"vertrauen.",
	},
	{
		"The issuing CA changes, and its root stays the same. A system that trusts the root needs no change.",
		"Die ausstellende CA ändert sich, ihre Root-CA bleibt gleich. In einem System, das der Root-CA vertraut, ist " +
			"nichts zu ändern.",
	},
	{"The link has been revoked.", "Der Link wurde widerrufen."},
	{
		"The link shows the new certificate with instructions. It works without an account and may be forwarded.",
		"Der Link zeigt das neue Zertifikat mit einer Anleitung. Er funktioniert ohne Konto und darf weitergeleitet " +
			"werden.",
	},
	{"The new one", "Das neue"},
	{
		"The page behind the link shows the same instructions.",
		"Die verlinkte Seite zeigt dieselbe Anleitung.",
	},
	{"The person who installs the new certificate there", "Die Person, die dort das neue Zertifikat installiert"},
	{
		"The receiver accepts generation %d. Switch to it whenever you like.",
		"Der Empfänger akzeptiert Generation %d. Sie können jederzeit darauf umstellen.",
	},
	{
		"The receiver accepts only the old certificate again, and messages use it. Ask its administrator to install " +
			"generation %d again.",
		"Der Empfänger akzeptiert nur noch das alte Zertifikat, und Nachrichten verwenden es wieder. Bitten Sie seinen " +
			"Ansprechpartner, Generation %d erneut zu installieren.",
	},
	{"The receiver checks", "Der Empfänger prüft"},
	{
		"The receiver checks %s. It accepts the new certificate only if it trusts the new CA.",
		"Der Empfänger prüft %s. Er akzeptiert das neue Zertifikat nur, wenn er der neuen CA vertraut.",
	},
	{
		"The receiver checks %s. That changes, so the new certificate has to be installed.",
		"Der Empfänger prüft %s. Das ändert sich, daher muss das neue Zertifikat installiert werden.",
	},
	{
		"The receiver checks %s. That stays the same, so nothing has to be installed. The test confirms this.",
		"Der Empfänger prüft %s. Das bleibt gleich, daher muss nichts installiert werden. Der Test bestätigt es.",
	},
	{"The receiver was tested. %s", "Der Empfänger wurde getestet. %s"},
	{"Saved. %s.", "Gespeichert. %s."},
	{"The subject alternative name changes.", "Der alternative Name (SAN) ändert sich."},
	{"The subject changes.", "Das Subject ändert sich."},
	{
		"The subject, the subject alternative name and the issuing CA stay the same.",
		"Das Subject, der alternative Name (SAN) und die ausstellende CA bleiben gleich.",
	},
	{
		"The test below shows the pin so that you can confirm it: sha256/…",
		"Der Test unten zeigt den Pin zur Bestätigung: sha256/…",
	},
	{
		"This arrangement uses no client certificate, so it has no roll-over.",
		"Diese Vereinbarung verwendet kein Client-Zertifikat, daher gibt es keine Umstellung.",
	},
	{
		"This determines what the receiver's administrator is asked to do after a renewal. Leave it empty if you do not " +
			"know.",
		"Davon hängt ab, worum der Ansprechpartner des Empfängers nach einer Erneuerung gebeten wird. Lassen Sie das " +
			"Feld leer, wenn Sie es nicht wissen.",
	},
	{"This is the expected server.", "Das ist der erwartete Server."},
	{"This link is not valid", "Dieser Link ist nicht gültig"},
	{"Trust this key", "Diesem Schlüssel vertrauen"},
	{"Type %s to confirm", "Zum Bestätigen %s eingeben"},
	{"Valid from", "Gültig von"},
	{"What changes", "Was sich ändert"},
	{
		"The required steps depend on how the receiver checks certificates, which is not known. The test shows whether " +
			"it accepts the new one.",
		"Was zu tun ist, hängt davon ab, wie der Empfänger Zertifikate prüft. Das ist nicht bekannt. Der Test zeigt, ob " +
			"er das neue akzeptiert.",
	},
	{"What still works after a renewal", "Was nach einer Erneuerung noch funktioniert"},
	{"What the receiver's administrator has to do", "Was der Ansprechpartner des Empfängers tun muss"},
	{
		"The required steps depend on how your system checks certificates. Test first: many systems need no change.",
		"Was zu tun ist, hängt davon ab, wie Ihr System Zertifikate prüft. Testen Sie zuerst: Bei vielen Systemen ist " +
			"nichts zu tun.",
	},
	{"When to switch to the next generation", "Wann auf die nächste Generation umgestellt wird"},
	{
		"Where the receiver accepts messages, for example https://erp.example.com/orders",
		"Wo der Empfänger Nachrichten annimmt, zum Beispiel https://erp.example.com/orders",
	},
	{"Why do messages fail?", "Fehlerursache ermitteln"},
	{
		"You reported the certificate as installed, but the receiver still answers %s. Please check the installation " +
			"and test again.",
		"Sie haben das Zertifikat als installiert gemeldet, aber der Empfänger antwortet weiterhin mit %s. Bitte " +
			"überprüfen Sie die Installation, und testen Sie erneut.",
	},
	{
		"Your system is tested immediately with the new certificate, and you see the result here.",
		"Ihr System wird sofort mit dem neuen Zertifikat getestet, und Sie sehen hier das Ergebnis.",
	},
	{"accepted", "akzeptiert"},
	{"HTTP proxy", "HTTP-Proxy"},
	{
		"For example http://proxy.example.com:3128, without a password, or none for a direct connection. Empty for the " +
			"proxy of the service, if it has any.",
		"Zum Beispiel http://proxy.example.com:3128, ohne Passwort, oder none für eine direkte Verbindung. Leer lassen, um " +
			"den Proxy des Dienstes zu verwenden, falls vorhanden.",
	},
	{"other or unknown", "anderes oder unbekannt"},
	{"without a certificate: %s", "ohne Zertifikat: %s"},
	{"Claimed", "Gemeldet"},
	{"Add the rule", "Regel hinzufügen"},
	{
		"Messages with generation %d got an answer that may be a refusal: %s. Give the arrangement a test path, or add " +
			"the rule.",
		"Auf Nachrichten mit Generation %d kam eine Antwort, die eine Ablehnung sein kann: %s. Legen Sie für die " +
			"Vereinbarung einen Pfad der Testanfrage fest, oder fügen Sie die Regel hinzu.",
	},
	{"The rule has been added: %s", "Die Regel wurde hinzugefügt: %s"},
	{
		"The receiver refuses the certificate with an answer that no rule describes. With this rule, the gateway " +
			"recognises such a refusal at once:",
		"Der Empfänger lehnt das Zertifikat mit einer Antwort ab, die keine Regel beschreibt. Mit dieser Regel erkennt das " +
			"Gateway eine solche Ablehnung sofort:",
	},
	{
		"The receiver accepts messages without asking for a certificate. The renewal needs no action there.",
		"Der Empfänger nimmt Nachrichten an, ohne ein Zertifikat zu verlangen. Dort ist für die Erneuerung nichts zu tun.",
	},
	{
		"The receiver refuses every certificate that is older than the last one it accepted. It is not tested with a " +
			"generation that messages do not use yet, and switching back is not possible.",
		"Der Empfänger lehnt jedes Zertifikat ab, das älter ist als das zuletzt akzeptierte. Er wird nicht mit einer " +
			"Generation getestet, die Nachrichten noch nicht verwenden, und ein Zurückwechseln ist nicht möglich.",
	},
	{
		"reported as installed by a person, not proved yet",
		"von einer Person als installiert gemeldet, noch nicht nachgewiesen",
	},
	{
		"accepted in a test, not proved by a message yet",
		"in einem Test akzeptiert, noch nicht durch eine Nachricht nachgewiesen",
	},
	{
		"A person reports generation %d as installed, but nothing proves it yet. Test the receiver. Messages that it " +
			"refuses are sent with an older generation.",
		"Eine Person hat Generation %d als installiert gemeldet, der Nachweis fehlt noch. Testen Sie den Empfänger. " +
			"Nachrichten, die er ablehnt, werden mit einer älteren Generation gesendet.",
	},
	{"Unclear", "Unklar"},
	{"fails", "schlägt fehl"},
	{"fails until the new CA is trusted", "schlägt fehl, bis der neuen CA vertraut wird"},
	{"generation %d: %s (%s)", "Generation %d: %s (%s)"},
	{"issuer and serial number", "Aussteller und Seriennummer"},
	{"new receiver, named below", "neuer Empfänger, unten benannt"},
	{"only that a trusted CA has signed it", "nur, dass eine vertraute CA es signiert hat"},
	{"refused", "abgelehnt"},
	{"subject and issuer", "Subject und Aussteller"},
	{
		"subject and issuer, and only the newest certificate",
		"Subject und Aussteller, und nur das neueste Zertifikat",
	},
	{"the SAN (URI or DNS)", "den SAN (URI oder DNS)"},
	{"the fingerprint of the whole certificate (pin)", "den Fingerabdruck des ganzen Zertifikats (Pin)"},
	{"the public key (SPKI pin)", "den öffentlichen Schlüssel (SPKI-Pin)"},
	{"the subject", "das Subject"},
	{"works", "funktioniert"},
	{"Test now", "Jetzt testen"},
	{
		"Your system accepts the new certificate (%s). There is nothing to do. Thank you.",
		"Ihr System akzeptiert das neue Zertifikat (%s). Es ist nichts zu tun. Danke.",
	},
	{
		"Your system could not be tested at the moment. Please try again later.",
		"Ihr System konnte zurzeit nicht getestet werden. Bitte versuchen Sie es später noch einmal.",
	},
	{
		"Your system does not refuse the new certificate at the beginning of a connection. Whether it accepts messages is " +
			"shown by the next one.",
		"Ihr System lehnt das neue Zertifikat beim Aufbau einer Verbindung nicht ab. Ob es Nachrichten annimmt, zeigt die " +
			"nächste.",
	},
	{
		"Your system gave no clear answer (%s). Please check whether it knows the new certificate.",
		"Ihr System hat keine klare Antwort gegeben (%s). Bitte prüfen Sie, ob es das neue Zertifikat kennt.",
	},
	{
		"Your system refuses the new certificate (%s). Please install it as described below.",
		"Ihr System lehnt das neue Zertifikat ab (%s). Bitte installieren Sie es wie unten beschrieben.",
	},
	{
		"until %s: your system must accept the new certificate before then",
		"bis %s: Ihr System muss das neue Zertifikat vorher akzeptieren",
	},
}
