package words

// germanEngine holds the texts of the engine and the gateway.
var germanEngine = []translation{
	{
		"the mail could not be sent: the log of the service states the reason",
		"Die Mail konnte nicht gesendet werden: Den Grund nennt das Log des Dienstes",
	},
	{
		"the mail server does not accept mails of this installation (%d): an operator must fix this",
		"Der Mailserver nimmt keine Mails dieser Installation an (%d): Das muss ein Operator beheben",
	},
	{"the mail server refused the mail: %d %s", "Der Mailserver hat die Mail abgelehnt: %d %s"},
	{
		"the name of the mail server could not be resolved",
		"Der Name des Mailservers konnte nicht aufgelöst werden",
	},
	{
		"the mail server is not running (connection refused)",
		"Der Mailserver läuft nicht (Verbindung abgelehnt)",
	},
	{
		"no TLS connection to the mail server was possible",
		"Eine TLS-Verbindung zum Mailserver war nicht möglich",
	},
	{"the mail server did not answer in time", "Der Mailserver hat nicht rechtzeitig geantwortet"},
	{"the mail server closed the connection", "Der Mailserver hat die Verbindung geschlossen"},
	{"the connection to the mail server failed", "Die Verbindung zum Mailserver ist fehlgeschlagen"},
	{
		"the part of %s before the @ has letters other than ASCII, which many mail servers refuse (SMTPUTF8, RFC 6531): " +
			"change the address",
		"Der Teil von %s vor dem @ enthält Zeichen außerhalb von ASCII, was viele Mailserver ablehnen (SMTPUTF8, " +
			"RFC 6531): Ändern Sie die Adresse",
	},
	{
		"the domain of %s is not valid: change the address",
		"Die Domain von %s ist ungültig: Ändern Sie die Adresse",
	},
	{
		"%q is not allowed: use compromised or superseded",
		"%q ist nicht erlaubt: Verwenden Sie compromised oder superseded",
	},
	{
		"%q is not allowed: use lost or compromised",
		"%q ist nicht erlaubt: Verwenden Sie lost oder compromised",
	},
	{
		"generation %d of the %s of %s was already revoked on %s",
		"Generation %d des %s von %s wurde bereits am %s widerrufen",
	},
	{
		"generation %d of the %s of %s expired on %s: an expired certificate need not be revoked",
		"Generation %d des %s von %s ist am %s abgelaufen: Ein abgelaufenes Zertifikat muss nicht widerrufen werden",
	},
	{
		"%q is not allowed: use lost, compromised or reissue",
		"%q ist nicht erlaubt: Verwenden Sie lost, compromised oder reissue",
	},
	{"%q is not hexadecimal", "%q ist nicht hexadezimal"},
	{
		"%s already watches a certificate %s: upload the new one there, or choose another name",
		"%s beobachtet schon ein Zertifikat %s: Laden Sie das neue dort hoch, oder wählen Sie einen anderen Namen",
	},
	{
		"%s has been renewed or warned about since: it cannot be undone, and neither can the tenants after it",
		"%s wurde seither erneuert oder angekündigt: Das lässt sich nicht rückgängig machen, auch nicht bei den " +
			"Mandanten danach",
	},
	{
		"%s is a root, and no list can revoke a root: announce an authority below a new one (perennial authority " +
			"announce --new-root), and ask the receivers to remove the old root",
		"%s ist eine Root, und keine Sperrliste kann eine Root widerrufen: Kündigen Sie eine CA unter einer neuen an " +
			"(perennial authority announce --new-root), und bitten Sie die Empfänger, die alte Root zu entfernen",
	},
	{"%s is not a positive duration: use one such as 93d", "%s ist keine positive Dauer: Verwenden Sie eine wie 93d"},
	{
		"%s signs with the key %s, and its successor would too: announce one with another key first (perennial " +
			"authority announce --key URI, or --key sealed)",
		"%s signiert mit dem Schlüssel %s, und der Nachfolger würde denselben verwenden: Kündigen Sie zuerst einen mit " +
			"einem anderen Schlüssel an (perennial authority announce --key URI oder --key sealed)",
	},
	{
		"%s watches %d certificates, which is the maximum: remove one first",
		"%s beobachtet %d Zertifikate, mehr sind nicht möglich: Entfernen Sie zuerst eines",
	},
	{"%s/%s has no generation %d that can be presented", "%s/%s hat keine Generation %d, die vorgelegt werden kann"},
	{"a key user %s was added to %s in the meantime", "Inzwischen wurde ein Key-User %s bei %s hinzugefügt"},
	{"a parked body has %d bytes", "Ein geparkter Inhalt hat %d Bytes"},
	{
		"a text contains NUL or is not valid UTF-8: correct it",
		"Ein Text enthält NUL oder ist kein gültiges UTF-8: Korrigieren Sie ihn",
	},
	{"a tenant %s already exists", "Einen Mandanten %s gibt es schon"},
	{"an arrangement %s was added to %s in the meantime", "Inzwischen wurde eine Vereinbarung %s bei %s hinzugefügt"},
	{
		"another arrangement uses the receiver %s: delete that one first",
		"Eine andere Vereinbarung verwendet den Empfänger %s: Löschen Sie zuerst diese Vereinbarung",
	},
	{
		"another replica has warned about a certificate in the meantime",
		"Eine andere Instanz des Dienstes hat inzwischen vor dem Ablauf eines Zertifikats gewarnt",
	},
	{
		"another replica or a user has renewed a certificate in the meantime",
		"Eine andere Instanz des Dienstes oder ein Benutzer hat inzwischen ein Zertifikat erneuert",
	},
	{
		"another user or replica has just renewed the %s of %s: see the newest generation",
		"Das %s von %s wurde soeben anderswo erneuert: Sehen Sie sich die neueste Generation an",
	},
	{"another worker has claimed the part", "Ein anderer Worker bearbeitet diesen Teil"},
	{
		"arrangement %s has a feed already: give it a new address if the present one is lost",
		"Die Vereinbarung %s hat schon einen Feed: Geben Sie ihm eine neue Adresse, falls die jetzige verloren ist",
	},
	{
		"arrangement %s has no valid certificate to publish: renew the certificate of %s",
		"Die Vereinbarung %s hat kein gültiges Zertifikat zum Veröffentlichen: Erneuern Sie das Zertifikat von %s",
	},
	{"arrangement %s/%s presents no client certificate", "Die Vereinbarung %s/%s legt kein Client-Zertifikat vor"},
	{
		"certificates could expire before they are renewed: %v",
		"Zertifikate könnten ablaufen, bevor sie erneuert werden: %v",
	},
	{"chunk %d of a parked body has %d bytes", "Teil %d eines geparkten Inhalts hat %d Bytes"},
	{
		"every tenant has the credential %s: change it instead",
		"Jeder Mandant hat das Credential %s: Ändern Sie es stattdessen",
	},
	{"invalid request of a gateway: %v", "Ungültige Anfrage eines Gateways: %v"},
	{"is not a valid URL: %v", "ist keine gültige URL: %v"},
	{"it already exists", "Das gibt es schon"},
	{"it is still in use", "Es wird noch verwendet"},
	{
		"it was changed or deleted in the meantime: read it again",
		"Es wurde inzwischen geändert oder gelöscht: Lesen Sie es erneut",
	},
	{"its common name is that of the tenant %s", "Der Common Name ist der des Mandanten %s"},
	{
		"messages were sent on %s/%s: it cannot be undone, and neither can the tenants after it",
		"Über %s/%s wurden Nachrichten gesendet: Das lässt sich nicht rückgängig machen, auch nicht bei den Mandanten " +
			"danach",
	},
	{
		"none of %d certificates has the subject or the alternative names of the watched one",
		"Keines der %d Zertifikate hat das Subject oder die alternativen Namen des beobachteten",
	},
	{"not found", "Nicht gefunden"},
	{
		"tenant %s has no certificate of the credential %s that could be presented",
		"Der Mandant %s hat kein Zertifikat des Credentials %s, das vorgelegt werden könnte",
	},
	{
		"the certificate of the credential %s of tenant %s is revoked, and no message can be sent until its CA issues the " +
			"next one",
		"Das Zertifikat des Credentials %s des Mandanten %s ist widerrufen, und es kann keine Nachricht gesendet werden, " +
			"bis die CA das nächste ausstellt",
	},
	{
		"the %s of %s is valid until %s, %.2f days from now: Renew is possible from %s on, and the background job " +
			"renews it in time anyway. Operators can renew it now with the reason lost, compromised or reissue",
		"Das %s von %s gilt bis %s, noch %.2f Tage: Erneuern ist ab %s möglich, und der Hintergrundjob erneuert es " +
			"ohnehin rechtzeitig. Operatoren können es jetzt mit dem Grund lost, compromised oder reissue erneuern",
	},
	{"the arrangement has no feed: create it first", "Die Vereinbarung hat keinen Feed: Erstellen Sie ihn zuerst"},
	{
		"the certificate %s expired on %s: get the present one from its owner",
		"Das Zertifikat %s ist am %s abgelaufen: Lassen Sie sich das aktuelle vom Inhaber geben",
	},
	{
		"the certificate %s has neither the subject nor the alternative names of the watched one. If its owner has " +
			"changed them, accept the certificate explicitly; otherwise this is the wrong file",
		"Das Zertifikat %s hat weder das Subject noch die alternativen Namen des beobachteten. Hat der Inhaber sie " +
			"geändert, akzeptieren Sie das Zertifikat ausdrücklich. Sonst ist dies die falsche Datei",
	},
	{
		"the certificate %s has no source: upload the new one, or change it to have one",
		"Das Zertifikat %s hat keine Quelle: Laden Sie das neue hoch, oder geben Sie ihm eine Quelle",
	},
	{
		"the certificates of arrangement %s are larger than followers read: ask the CA for smaller ones",
		"Die Zertifikate der Vereinbarung %s sind größer, als Empfänger lesen: Bitten Sie die CA um kleinere",
	},
	{"the gateway's public key is invalid", "Der öffentliche Schlüssel des Gateways ist ungültig"},
	{
		"the issuer does not certify these names: it would issue %s with %s",
		"Der Aussteller bestätigt diese Namen nicht: Er würde %s mit %s ausstellen",
	},
	{
		"the issuer manages its authorities itself: create one there",
		"Der Aussteller verwaltet seine CAs selbst: Erstellen Sie dort eine",
	},
	{
		"the issuer manages its authorities itself: make %s sign there",
		"Der Aussteller verwaltet seine CAs selbst: Lassen Sie %s dort signieren",
	},
	{
		"the issuer manages its authorities itself: revoke %s there",
		"Der Aussteller verwaltet seine CAs selbst: Widerrufen Sie %s dort",
	},
	{
		"the key of generation %d does not sign with the hash %q",
		"Der Schlüssel der Generation %d signiert nicht mit dem Hash %q",
	},
	{"the key of generation %d is not an RSA key", "Der Schlüssel der Generation %d ist kein RSA-Schlüssel"},
	{
		"the message to be signed is not that of a TLS client with the certificate of generation %d",
		"Was signiert werden soll, ist nicht die Nachricht eines TLS-Clients mit dem Zertifikat der Generation %d",
	},
	{
		"the new private key took too long to be used, and is destroyed: try again",
		"Der neue private Schlüssel wurde zu spät verwendet und ist vernichtet: Versuchen Sie es erneut",
	},
	{"the private key of generation %d was destroyed", "Der private Schlüssel der Generation %d wurde vernichtet"},
	{
		"the request was answered in the meantime: see the newest generation",
		"Der Antrag wurde inzwischen beantwortet: Sehen Sie sich die neueste Generation an",
	},
	{"the run date %s is in the future", "Das Laufdatum %s liegt in der Zukunft"},
	{
		"the service itself sends the requests of the issuer %s",
		"Die Anträge des Ausstellers %s sendet der Dienst selbst",
	},
	{"the source %s of the certificate %s cannot be read: %v", "Die Quelle %s des Zertifikats %s ist nicht lesbar: %v"},
	{
		"the tenant %s has certificates with the common name %s: receivers could not tell the two apart, so choose " +
			"another name",
		"Der Mandant %s hat Zertifikate mit dem Common Name %s: Empfänger könnten die beiden nicht unterscheiden, " +
			"wählen Sie also einen anderen Namen",
	},
	{
		"the tenant %s has certificates with the same name (%s)",
		"Der Mandant %s hat Zertifikate mit demselben Namen (%s)",
	},
	{"the tenant %s was deleted in the meantime", "Der Mandant %s wurde inzwischen gelöscht"},
	{
		"the watched certificate %s was removed in the meantime",
		"Das beobachtete Zertifikat %s wurde inzwischen entfernt",
	},
	{
		"there are %d certificates: give one, with the CAs above it",
		"Es sind %d Zertifikate: Geben Sie eines an, mit den CAs darüber",
	},
	{"there is no %s", "%s gibt es nicht"},
	{
		"there is no generation %d of the credential %s: the newest one is generation %d",
		"Es gibt keine Generation %d des Credentials %s: Die neueste ist Generation %d",
	},
	{"there is no arrangement %s", "Es gibt keine Vereinbarung %s"},
	{"there is no certificate", "Es wurde kein Zertifikat angegeben"},
	{
		"there is no such feed: its address is incomplete, or it was replaced or revoked",
		"Diesen Feed gibt es nicht: Die Adresse ist unvollständig, oder sie wurde ersetzt oder widerrufen",
	},
	{"there is no such link, or it is revoked already", "Diesen Link gibt es nicht, oder er ist schon widerrufen"},
	{
		"this Idempotency-Key was used for another message: use a new one",
		"Dieser Idempotency-Key wurde für eine andere Nachricht verwendet: Verwenden Sie einen neuen",
	},
	{"this authority already signs at that time", "Diese CA signiert zu dieser Zeit schon"},
	{
		"this import was checked more than a day ago, and the changes by its renewals may be different now: check the " +
			"files again",
		"Dieser Import wurde vor mehr als einem Tag geprüft, und die Erneuerungen könnten jetzt anderes ändern: Prüfen " +
			"Sie die Dateien erneut",
	},
	{
		"this is not a sender's token: create one with perennial token create NAME --role sender --tenant %s",
		"Das ist nicht das Token eines Senders: Erstellen Sie eines mit perennial token create NAME --role sender " +
			"--tenant %s",
	},
	{"this token is no longer valid", "Dieses Token ist nicht mehr gültig"},
	{"use either a policy or a window", "Verwenden Sie entweder ein Regelwerk oder ein Zeitfenster"},
}
