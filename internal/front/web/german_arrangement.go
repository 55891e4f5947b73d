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
		"%s sends messages to your system with a client certificate. The certificate has been renewed, and only " +
			"the new one is used now. Test whether your system accepts it, and install it if not.",
		"%s sendet Nachrichten mit einem Client-Zertifikat an Ihr System. Das Zertifikat wurde erneuert, und nur " +
			"noch das neue wird verwendet. Prüfen Sie, ob Ihr System es annimmt, und installieren Sie es, falls " +
			"nicht.",
	},
	{
		"%s sends messages to your system with a client certificate. The certificate has been renewed. Please add " +
			"the new one next to the old one, or replace the old one. Messages are delivered either way.",
		"%s sendet mit einem Client-Zertifikat Nachrichten an Ihr System. Das Zertifikat wurde erneuert. Bitte " +
			"fügen Sie das neue zum alten hinzu, oder ersetzen Sie das alte. Nachrichten werden in beiden Fällen " +
			"zugestellt.",
	},
	{", then ", ", dann "},
	{"1. Download the certificate", "1. Zertifikat herunterladen"},
	{"2. Install it", "2. Installieren"},
	{"3. Test it", "3. Prüfen"},
	{
		"A message is tried with generation %s, in this order, before a refusal is returned to its sender.",
		"Eine Nachricht wird der Reihe nach mit Generation %s versucht, bevor der Absender eine Ablehnung erhält.",
	},
	{"Adaptive is the right choice in most cases", "Adaptiv ist in den meisten Fällen richtig"},
	{"It cannot be changed later, because the receiver knows it",
		"Es kann später nicht geändert werden, weil der Empfänger es kennt"},
	{
		"Adaptive: as soon as a person, a test or a message shows that the receiver is ready",
		"Adaptiv: sobald eine Person, eine Prüfung oder eine Nachricht zeigt, dass der Empfänger bereit ist",
	},
	{"Administrator", "Administrator"},
	{"Administrator's e-mail", "E-Mail des Administrators"},
	{"All messages", "Alle Nachrichten"},
	{
		"An arrangement describes one connection: the system that gets your messages, and its address. Messages are " +
			"sent with your certificate.",
		"Eine Vereinbarung beschreibt eine Verbindung: das System, das Ihre Nachrichten bekommt, und dessen " +
			"Adresse. Nachrichten werden mit Ihrem Zertifikat gesendet.",
	},
	{"CA chain", "CA-Kette"},
	{"CA of the server certificate (PEM)", "CA des Serverzertifikats (PEM)"},
	{"Choose a generation.", "Wählen Sie eine Generation."},
	{
		"Compare the SHA-256 fingerprint with the one that the receiver's administrator gives you through another " +
			"channel. Then trust this key, or paste the CA above.",
		"Vergleichen Sie den SHA-256-Fingerabdruck mit dem, den Ihnen der Administrator des Empfängers auf einem " +
			"anderen Weg mitteilt. Vertrauen Sie dann diesem Schlüssel, oder fügen Sie oben die CA ein.",
	},
	{
		"Confirmed: as soon as a person or a test confirms that the receiver is ready",
		"Bestätigt: sobald eine Person oder eine Prüfung bestätigt, dass der Empfänger bereit ist",
	},
	{"Connection test", "Verbindungsprüfung"},
	{"Contact", "Kontakt"},
	{
		"Create a link below and send it to the receiver's administrator. It leads to the new certificate. Until it " +
			"is installed, messages use the old one.",
		"Erstellen Sie unten einen Link, und senden Sie ihn dem Administrator des Empfängers. Er führt zum neuen " +
			"Zertifikat. Bis es installiert ist, verwenden Nachrichten das alte.",
	},
	{"Create link", "Link erstellen"},
	{"Create without a test", "Ohne Prüfung anlegen"},
	{"Created", "Erstellt"},
	{"Deadline: %s, %s left", "Frist: %s, noch %s"},
	{"Delete arrangement", "Vereinbarung löschen"},
	{"Duration", "Dauer"},
	{"Edit", "Bearbeiten"},
	{"Edit %s", "%s bearbeiten"},
	{"Endpoint", "Endpunkt"},
	{"Evidence", "Nachweis"},
	{"Existing receiver", "Vorhandener Empfänger"},
	{
		"A GET request to it must change nothing, and must get another answer without a certificate. A path that is " +
			"answered to everyone, as /health often is, proves nothing. Without a path, only the TLS handshake is tested, " +
			"which can prove a refusal but not an acceptance.",
		"Eine GET-Anfrage darf dort nichts ändern und muss ohne Zertifikat eine andere Antwort bekommen. Ein Pfad, der " +
			"jedem antwortet, wie oft /health, beweist nichts. Ohne Pfad wird nur der TLS-Handshake geprüft, der eine " +
			"Ablehnung beweisen kann, aber keine Annahme.",
	},
	{"Answers that refuse a certificate", "Antworten, die ein Zertifikat ablehnen"},
	{
		"Besides 401 and 403, one rule per line: status=302 header=Location contains=/login, or preset=sap-login",
		"Neben 401 und 403, eine Regel je Zeile: status=302 header=Location contains=/login oder preset=sap-login",
	},
	{
		"For example crm-to-erp. It is part of the address that applications send to.",
		"Zum Beispiel crm-to-erp. Teil der Adresse, an die Anwendungen senden.",
	},
	{"For example erp", "Zum Beispiel erp"},
	{
		"Generation %d is tried first, and the receiver is not known to accept it. Until %s, messages that it " +
			"refuses are sent with an older generation. Test the receiver, or create a link below and send it to its " +
			"administrator.",
		"Generation %d wird zuerst versucht, und es ist nicht bekannt, ob der Empfänger sie annimmt. Bis %s " +
			"werden Nachrichten, die er ablehnt, mit einer älteren Generation gesendet. Testen Sie den Empfänger, " +
			"oder erstellen Sie unten einen Link und senden Sie ihn seinem Administrator.",
	},
	{"Generation %d is used from now on.", "Generation %d wird ab jetzt verwendet."},
	{"Generations at this receiver", "Generationen bei diesem Empfänger"},
	{
		"How receivers check certificates, and what still works after a renewal",
		"Wie Empfänger Zertifikate prüfen und was nach einer Erneuerung noch funktioniert",
	},
	{"How the receiver checks certificates", "Wie der Empfänger Zertifikate prüft"},
	{"I have installed it, test now", "Installiert, jetzt prüfen"},
	{
		"If it is in the list, its usual check is set",
		"Ist es in der Liste, wird seine übliche Prüfung eingetragen",
	},
	{
		"Immediate: at the renewal, even if the receiver does not accept the new certificate",
		"Sofort: mit der Erneuerung, auch wenn der Empfänger das neue Zertifikat nicht annimmt",
	},
	{"Install before", "Installieren bis"},
	{
		"The sender of the link may be lying, and this page cannot prove otherwise. An issuer that you know " +
			"proves nothing either, because the same CA issues the certificates of other companies.",
		"Wer Ihnen den Link geschickt hat, könnte lügen, und diese Seite kann das Gegenteil nicht beweisen. Auch " +
			"ein bekannter Aussteller beweist nichts, denn dieselbe CA stellt die Zertifikate anderer Firmen aus.",
	},
	{
		"No earlier certificate is known, so your own system has nothing to compare this one with.",
		"Ein früheres Zertifikat ist nicht bekannt. In Ihrem eigenen System gibt es also nichts, womit Sie dieses " +
			"vergleichen können.",
	},
	{
		"In your own system, look up the certificate that it accepts for %s. Its subject must be %s, and its " +
			"issuer must be %s. If one of them differs, do not install the new certificate.",
		"Sehen Sie in Ihrem eigenen System das Zertifikat an, das es für %s annimmt. Sein Subject muss %s sein " +
			"und sein Aussteller %s. Weicht eines davon ab, installieren Sie das neue Zertifikat nicht.",
	},
	{
		"This time both change: the subject to %s, and the issuer to %s. Your system cannot confirm them, so ask " +
			"your contact to confirm both.",
		"Diesmal ändert sich beides: das Subject in %s und der Aussteller in %s. Ihr System kann sie nicht " +
			"bestätigen. Lassen Sie sich beides von Ihrem Kontakt bestätigen.",
	},
	{
		"This time the subject changes to %s, and the issuer stays the same. Your system cannot confirm the new " +
			"subject, so ask your contact to confirm it.",
		"Diesmal ändert sich das Subject in %s, und der Aussteller bleibt gleich. Ihr System kann das neue " +
			"Subject nicht bestätigen. Lassen Sie es sich von Ihrem Kontakt bestätigen.",
	},
	{
		"This time the issuer changes to %s, and the subject stays the same. Your system cannot confirm the new " +
			"issuer, so ask your contact to confirm it.",
		"Diesmal ändert sich der Aussteller in %s, und das Subject bleibt gleich. Ihr System kann den neuen " +
			"Aussteller nicht bestätigen. Lassen Sie ihn sich von Ihrem Kontakt bestätigen.",
	},
	{
		"The new certificate has the same subject and the same issuer. Check this in the file that you " +
			"downloaded.",
		"Das neue Zertifikat hat dasselbe Subject und denselben Aussteller. Prüfen Sie das an der " +
			"heruntergeladenen Datei.",
	},
	{
		"Then compare the SHA-256 fingerprint above with the one that your contact at %s reads to you, for " +
			"example by phone. Use a contact that you knew before, and not one from this page or from the mail with " +
			"the link.",
		"Vergleichen Sie dann den SHA-256-Fingerabdruck oben mit dem, den Ihr Kontakt bei %s Ihnen vorliest, zum " +
			"Beispiel am Telefon. Nehmen Sie einen Kontakt, den Sie schon vorher kannten, und nicht einen von dieser " +
			"Seite oder aus der Mail mit dem Link.",
	},
	{
		"This page never asks for a password or a private key. It shows only public information, so you may pass " +
			"it on.",
		"Diese Seite fragt nie nach einem Passwort oder einem privaten Schlüssel. Sie zeigt nur öffentliche " +
			"Angaben, Sie dürfen sie also weitergeben.",
	},
	{"Is this page genuine?", "Ist diese Seite echt?"},
	{"Is this the right server?", "Ist das der richtige Server?"},
	{"Issued by", "Ausgestellt von"},
	{
		"It may be incomplete, expired or revoked, or the certificate has been replaced in the meantime. Ask for a " +
			"new link.",
		"Er ist vielleicht unvollständig, abgelaufen oder widerrufen, oder das Zertifikat wurde inzwischen ersetzt. " +
			"Bitten Sie um einen neuen Link.",
	},
	{
		"Its messages are refused from then on, and what is known about the receiver is deleted.",
		"Ihre Nachrichten werden dann abgewiesen, und was über den Empfänger bekannt ist, wird gelöscht.",
	},
	{"Latest messages", "Letzte Nachrichten"},
	{"Link for %s, shown only once:", "Link für %s, nur einmal angezeigt:"},
	{"Links", "Links"},
	{"Manual: when a person decides", "Manuell: wenn eine Person es entscheidet"},
	{"Mark as installed", "Als installiert markieren"},
	{"Messages", "Nachrichten"},
	{
		"Messages are kept for 30 days, without their bodies. If many succeed within one second, one entry counts " +
			"several of them.",
		"Nachrichten werden 30 Tage aufbewahrt, ohne Inhalt. Bei vielen Erfolgen innerhalb einer Sekunde zählt ein " +
			"Eintrag mehrere.",
	},
	{"Messages are sent to", "Nachrichten gehen an"},
	{
		"Messages are sent with generation %d only, and the receiver is not known to accept it. Test the " +
			"receiver, or create a link below and send it to its administrator.",
		"Nachrichten werden nur mit Generation %d gesendet, und es ist nicht bekannt, ob der Empfänger sie " +
			"annimmt. Testen Sie den Empfänger, oder erstellen Sie unten einen Link und senden Sie ihn seinem " +
			"Administrator.",
	},
	{
		"Messages are sent with generation %d only, and the receiver refuses it. Create a link below and send it " +
			"to its administrator now.",
		"Nachrichten werden nur mit Generation %d gesendet, und der Empfänger lehnt sie ab. Erstellen Sie unten " +
			"einen Link und senden Sie ihn jetzt dem Administrator des Empfängers.",
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
	{"No messages yet.", "Noch keine Nachrichten."},
	{
		"No messages yet. Applications send them to the gateway:",
		"Noch keine Nachrichten. Anwendungen senden sie an das Gateway:",
	},
	{
		"Noted: generation %d is installed there. Messages or a test will show whether it is accepted.",
		"Notiert: Generation %d ist dort installiert. Nachrichten oder eine Prüfung zeigen, ob sie angenommen wird.",
	},
	{
		"Nothing to do: generation %d is in use. The old one stays available until the receiver has not needed it " +
			"for 28 days.",
		"Nichts zu tun: Generation %d wird verwendet. Die alte bleibt verfügbar, bis der Empfänger sie 28 Tage lang " +
			"nicht gebraucht hat.",
	},
	{
		"Nothing to do: messages are sent with generation %d.",
		"Nichts zu tun: Nachrichten werden mit Generation %d gesendet.",
	},
	{
		"Nothing to do: the receiver accepts generation %d. It will be used from %s on.",
		"Nichts zu tun: Der Empfänger nimmt Generation %d an. Sie wird ab dem %s verwendet.",
	},
	{
		"Nothing was deleted. Type the name of the arrangement to delete it.",
		"Es wurde nichts gelöscht. Geben Sie zum Löschen den Namen der Vereinbarung ein.",
	},
	{
		"Now: messages are sent with the new certificate only.",
		"Jetzt: Nachrichten werden nur noch mit dem neuen Zertifikat gesendet.",
	},
	{
		"Only if its certificate is not from a public CA",
		"Nur wenn das Zertifikat nicht von einer öffentlichen CA stammt",
	},
	{"Or the pin of the server's public key", "Oder der Pin des öffentlichen Schlüssels des Servers"},
	{"PKCS#7, with the chain", "PKCS#7, mit der Kette"},
	{"Product", "Produkt"},
	{"Receiver", "Empfänger"},
	{"Receiver ready", "Empfänger bereit"},
	{"Reported as installed", "Als installiert gemeldet"},
	{"Save without a test", "Ohne Prüfung speichern"},
	{"Strategy", "Strategie"},
	{"Switch back to this one", "Auf diese zurückwechseln"},
	{"Switch to this one", "Auf diese umstellen"},
	{"Test", "Prüfen"},
	{"Test again", "Erneut prüfen"},
	{"Test connection", "Verbindung prüfen"},
	{"Test path", "Pfad der Prüfung"},
	{"Test receiver", "Empfänger prüfen"},
	{"Test result", "Ergebnis der Prüfung"},
	{
		"Thank you. It works: the receiver accepted the new certificate (%s).",
		"Danke. Es funktioniert: Der Empfänger hat das neue Zertifikat angenommen (%s).",
	},
	{
		"Thank you. The receiver could not be tested at the moment. The next messages will show whether it works.",
		"Danke. Der Empfänger konnte gerade nicht geprüft werden. Die nächsten Nachrichten zeigen, ob es funktioniert.",
	},
	{
		"Thank you. The receiver gave no clear answer (%s). The next messages will show whether it works.",
		"Danke. Der Empfänger hat keine eindeutige Antwort gegeben (%s). Die nächsten Nachrichten zeigen, ob es " +
			"funktioniert.",
	},
	{"The certificate that you have", "Ihr vorhandenes Zertifikat"},
	{
		"The issuing CA and its root change. A system that trusts the old CA must trust the new one too.",
		"Die ausstellende CA und ihre Stammzertifizierungsstelle ändern sich. Ein System, das der alten CA " +
			"vertraut, muss auch der neuen vertrauen.",
	},
	{
		"The issuing CA changes, and its root stays the same. A system that trusts the root needs no change.",
		"Die ausstellende CA ändert sich, ihre Stammzertifizierungsstelle bleibt gleich. Ein System, das der " +
			"Stammzertifizierungsstelle vertraut, braucht keine Änderung.",
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
		"Die Seite hinter dem Link zeigt dieselben Anleitungen.",
	},
	{"The person who installs the new certificate there", "Die Person, die dort das neue Zertifikat installiert"},
	{
		"The receiver accepts generation %d. Switch to it whenever you like.",
		"Der Empfänger nimmt Generation %d an. Sie können jederzeit darauf umstellen.",
	},
	{
		"The receiver accepts only the old certificate again, and messages use it. Ask its administrator to install " +
			"generation %d again.",
		"Der Empfänger nimmt wieder nur das alte Zertifikat an, und Nachrichten verwenden es. Bitten Sie den " +
			"Administrator, Generation %d erneut zu installieren.",
	},
	{"The receiver checks", "Der Empfänger prüft"},
	{
		"The receiver checks %s. It accepts the new certificate only if it trusts the new CA.",
		"Der Empfänger prüft: %s. Er nimmt das neue Zertifikat nur an, wenn er der neuen CA vertraut.",
	},
	{
		"The receiver checks %s. That changes, so the new certificate has to be installed.",
		"Der Empfänger prüft: %s. Das ändert sich, sodass das neue Zertifikat installiert werden muss.",
	},
	{
		"The receiver checks %s. That stays the same, so nothing has to be installed: the test shows it.",
		"Der Empfänger prüft: %s. Das bleibt gleich, sodass nichts installiert werden muss: Die Prüfung zeigt es.",
	},
	{
		"The receiver does not accept generation %d yet. Create a link below and send it to its administrator. " +
			"Until then, messages use the old certificate.",
		"Der Empfänger nimmt Generation %d noch nicht an. Erstellen Sie unten einen Link, und senden Sie ihn dem " +
			"Administrator. Bis dahin verwenden Nachrichten das alte Zertifikat.",
	},
	{"The receiver was tested. %s", "Der Empfänger wurde geprüft. %s"},
	{"The strategy is now %s.", "Die Strategie ist jetzt %s."},
	{"The subject alternative name changes.", "Der alternative Name (SAN) ändert sich."},
	{"The subject changes.", "Das Subject ändert sich."},
	{
		"The subject, the subject alternative name and the issuing CA stay the same.",
		"Das Subject, der alternative Name (SAN) und die ausstellende CA bleiben gleich.",
	},
	{
		"The test below shows the pin so that you can confirm it: sha256/…",
		"Die Prüfung unten zeigt den Pin zur Bestätigung: sha256/…",
	},
	{
		"This arrangement uses no client certificate, so it has no roll-over.",
		"Diese Vereinbarung verwendet kein Client-Zertifikat, daher gibt es keine Umstellung.",
	},
	{
		"This decides what its administrator is asked to do at a renewal. Leave it open if you do not know it.",
		"Das entscheidet, worum sein Administrator bei einer Erneuerung gebeten wird. Lassen Sie es offen, wenn " +
			"Sie es nicht wissen.",
	},
	{"This is the expected server.", "Das ist der erwartete Server."},
	{"This link is not valid", "Dieser Link ist nicht gültig"},
	{"Trust this key", "Diesem Schlüssel vertrauen"},
	{"Type %s to confirm", "Zum Bestätigen %s eingeben"},
	{"Valid from", "Gültig von"},
	{"What changes", "Was sich ändert"},
	{
		"What has to be done depends on how the receiver checks certificates, which is not known. The test shows " +
			"whether it accepts the new one.",
		"Was zu tun ist, hängt davon ab, wie der Empfänger Zertifikate prüft. Das ist nicht bekannt. Die Prüfung " +
			"zeigt, ob er das neue annimmt.",
	},
	{"What still works after a renewal", "Was nach einer Erneuerung noch funktioniert"},
	{"What the receiver's administrator has to do", "Was der Administrator des Empfängers tun muss"},
	{
		"What you have to do depends on how your system checks certificates. Test first: many systems need " +
			"nothing.",
		"Was zu tun ist, hängt davon ab, wie Ihr System Zertifikate prüft. Testen Sie zuerst: Bei vielen " +
			"Systemen ist nichts zu tun.",
	},
	{"When to switch to the next generation", "Wann auf die nächste Generation umgestellt wird"},
	{
		"Where the receiver accepts messages, for example https://erp.example.com/orders",
		"Wo der Empfänger Nachrichten annimmt, zum Beispiel https://erp.example.com/orders",
	},
	{"Why do messages fail?", "Warum scheitern Nachrichten?"},
	{
		"You say that the certificate is installed, but the receiver still answers %s. Please check the " +
			"installation and test again.",
		"Sie sagen, dass das Zertifikat installiert ist, aber der Empfänger antwortet noch immer %s. Bitte " +
			"prüfen Sie die Installation und testen Sie erneut.",
	},
	{
		"Your system is tested immediately with the new certificate, and you see the result here.",
		"Ihr System wird sofort mit dem neuen Zertifikat geprüft, und Sie sehen hier das Ergebnis.",
	},
	{"accepted", "angenommen"},
	{"HTTP proxy", "HTTP-Proxy"},
	{
		"For example http://proxy.example.com:3128, without a password, or none for a direct connection. Empty for the " +
			"proxy of the service, if it has any.",
		"Zum Beispiel http://proxy.example.com:3128, ohne Passwort, oder none für eine direkte Verbindung. Leer für den " +
			"Proxy des Dienstes, wenn er einen hat.",
	},
	{"another one, or not known", "ein anderes oder nicht bekannt"},
	{"without a certificate: %s", "ohne Zertifikat: %s"},
	{"Claimed", "Gemeldet"},
	{"Add the rule", "Regel hinzufügen"},
	{
		"Messages with generation %d got an answer that may be a refusal: %s. Give the arrangement a test path, or add the " +
			"rule.",
		"Nachrichten mit Generation %d erhielten eine Antwort, die eine Ablehnung sein kann: %s. Geben Sie der " +
			"Vereinbarung einen Testpfad, oder fügen Sie die Regel hinzu.",
	},
	{"The rule has been added: %s", "Die Regel wurde hinzugefügt: %s"},
	{
		"The receiver refuses the certificate with an answer that no rule describes. With this rule, the gateway " +
			"recognises it at once:",
		"Der Empfänger lehnt das Zertifikat mit einer Antwort ab, die keine Regel beschreibt. Mit dieser Regel erkennt " +
			"das Gateway sie sofort:",
	},
	{
		"The receiver delivers messages without asking for a certificate. The renewal needs nothing there.",
		"Der Empfänger stellt Nachrichten zu, ohne ein Zertifikat zu verlangen. Dort ist für die Erneuerung nichts zu tun.",
	},
	{
		"The receiver accepts nothing older than the certificate that it accepted last. It is not tested with a " +
			"generation that messages do not use yet, and going back is not possible.",
		"Der Empfänger nimmt nichts an, das älter ist als das zuletzt angenommene Zertifikat. Er wird nicht mit einer " +
			"Generation getestet, die Nachrichten noch nicht verwenden, und ein Zurück gibt es nicht.",
	},
	{
		"a person reports it as installed, which is not proved yet",
		"eine Person meldet es als installiert, was noch nicht bewiesen ist",
	},
	{
		"a test found it accepted, which no message has proved yet",
		"ein Test fand es angenommen, was noch keine Nachricht bewiesen hat",
	},
	{
		"The test proves nothing: %s. Choose another test (%s now) that the receiver answers only to accepted " +
			"certificates, or create a link below and send it to its administrator.",
		"Der Test beweist nichts: %s. Wählen Sie einen anderen Test (jetzt %s), den der Empfänger nur bei angenommenen " +
			"Zertifikaten beantwortet, oder erstellen Sie unten einen Link, und senden Sie ihn dem Administrator.",
	},
	{
		"A person reports generation %d as installed, and nothing proves it yet. Test the receiver: messages that it " +
			"refuses are sent with an older generation.",
		"Eine Person meldet Generation %d als installiert, und noch nichts beweist es. Testen Sie den Empfänger: " +
			"Nachrichten, die er ablehnt, werden mit einer älteren Generation gesendet.",
	},
	{"Unclear", "Unklar"},
	{"fails", "scheitert"},
	{"fails until the new CA is trusted", "scheitert, bis der neuen CA vertraut wird"},
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
	{
		"when the last certificate expires that your system is known to accept",
		"wenn das letzte Zertifikat abläuft, von dem bekannt ist, dass Ihr System es annimmt",
	},
	{"works", "funktioniert"},
}
