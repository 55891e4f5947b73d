package web

// germanTenant holds the German texts of the pages of a tenant.
var germanTenant = []translation{
	{"%s is no longer a key user and cannot sign in.", "%s ist kein Key-User mehr und kann sich nicht mehr anmelden."},
	{"%s is now a key user and will get every new task.", "%s ist jetzt Key-User und erhält alle neuen Aufgaben."},
	{"%s: cut over on %s", "%s: umgestellt am %s"},
	{
		"A mail about a task is sent only if all conditions are met. For %s, some are not.",
		"Eine Mail zu einer Aufgabe wird nur gesendet, wenn alle Bedingungen erfüllt sind. Bei %s sind nicht alle " +
			"erfüllt.",
	},
	{"Add key user", "Key-User hinzufügen"},
	{
		"All conditions are met: %s gets a mail with the next notice. Earlier notices are not mailed.",
		"Alle Bedingungen sind erfüllt: %s erhält zur nächsten Benachrichtigung eine Mail. Frühere werden nicht " +
			"nachträglich gesendet.",
	},
	{"Answered by %s", "Beantwortet von %s"},
	{"Arrangements", "Vereinbarungen"},
	{"As in the account", "Wie im Konto"},
	{"Changed", "Geändert"},
	{"Complete", "Abschließen"},
	{"Compromised", "Kompromittiert"},
	{"Create arrangement", "Vereinbarung anlegen"},
	{"Deadline", "Frist"},
	{"Does %s get mail?", "Erhält %s Mails?"},
	{"Download", "Herunterladen"},
	{"E-mail", "E-Mail"},
	{
		"Each arrangement moves to the next generation at its own pace. Messages are delivered throughout.",
		"Jede Vereinbarung wird unabhängig auf die nächste Generation umgestellt. Nachrichten werden währenddessen ohne " +
			"Unterbrechung zugestellt.",
	},
	{"Field", "Feld"},
	{
		"For example Europe/Berlin. Empty: as in the account, or UTC",
		"Zum Beispiel Europe/Berlin. Leer: wie im Konto oder UTC",
	},
	{
		"For example Ina Ivers <ina@example.com>. The language and the time zone of mails may follow: de Europe/Berlin",
		"Zum Beispiel Ina Ivers <ina@example.com>. Sprache und Zeitzone der Mails können folgen: de Europe/Berlin",
	},
	{"From now on you get a mail for every new task.", "Ab jetzt erhalten Sie zu jeder neuen Aufgabe eine Mail."},
	{"Full name", "Vollständiger Name"},
	{"Generation %d", "Generation %d"},
	{
		"Generation %d has been issued. Receivers that accept only the old certificate need it now.",
		"Generation %d wurde ausgestellt. Empfänger, die nur das alte Zertifikat akzeptieren, benötigen sie jetzt.",
	},
	{"Generation %d, planned", "Generation %d, geplant"},
	{"Generation %d: planned for %s", "Generation %d: geplant für den %s"},
	{"Generation %d: valid from %s to %s, %s", "Generation %d: gültig von %s bis %s, %s"},
	{"IT contacts", "IT-Kontakte"},
	{
		"IT contacts get mails about the M-user's certificate. The first one is the designated contact.",
		"IT-Kontakte erhalten Mails zum Zertifikat des M-Users. Der erste ist der benannte Kontakt.",
	},
	{"IT contacts, one per line", "IT-Kontakte, einer pro Zeile"},
	{
		"Implementation Projects › edit project scope › Questions",
		"Implementation Projects › edit project scope › Questions",
	},
	{
		"In use: messages are sent with it. Standby: issued, and used as soon as a receiver is ready. Retired: no " +
			"longer used, and its key is destroyed. Revoked: must not be used any more.",
		"Verwendet: Nachrichten werden damit gesendet. Bereitgestellt: ausgestellt, wird verwendet, sobald ein " +
			"Empfänger bereit ist. Stillgelegt: nicht mehr verwendet, der Schlüssel ist vernichtet. Widerrufen: " +
			"darf nicht mehr verwendet werden.",
	},
	{"Issued by", "Ausgestellt von"},
	{"Key users", "Key-User"},
	{
		"Line %d: write a name and an address, for example Ina Ivers <ina@example.com>.",
		"Zeile %d: Schreiben Sie Name und Adresse, zum Beispiel Ina Ivers <ina@example.com>.",
	},
	{"Language of mails", "Sprache der Mails"},
	{"Lost", "Verloren"},
	{"Lowercase letters and digits, for example alice", "Kleinbuchstaben und Ziffern, zum Beispiel alice"},
	{"Mail", "Mail"},
	{"Mails about tasks", "Mails zu Aufgaben"},
	{"New arrangement", "Neue Vereinbarung"},
	{"Newest certificate expires", "Neuestes Zertifikat läuft ab"},
	{"Newest generation", "Neueste Generation"},
	{"No", "Nein"},
	{"No arrangement uses the certificate yet.", "Noch verwendet keine Vereinbarung das Zertifikat."},
	{
		"No tasks. You get one before your certificate expires, when it has been renewed, and when a receiver does " +
			"not act.",
		"Keine Aufgaben. Sie erhalten eine, bevor Ihr Zertifikat abläuft, wenn es erneuert wurde und wenn ein Empfänger " +
			"nichts unternimmt.",
	},
	{"None (the normal rules apply)", "Keiner (es gelten die üblichen Regeln)"},
	{"Not answered: no mails are sent.", "Nicht beantwortet: Es werden keine Mails gesendet."},
	{"Note (optional)", "Notiz (optional)"},
	{"Note: %s", "Notiz: %s"},
	{"Nothing is planned at the moment.", "Zurzeit ist nichts geplant."},
	{"Open tasks", "Offene Aufgaben"},
	{
		"Operators can renew at any time if they give a reason. Lost and Compromised revoke every earlier " +
			"generation immediately, even if that interrupts delivery.",
		"Operatoren können jederzeit erneuern, wenn sie einen Grund angeben. „Verloren“ und „Kompromittiert“ " +
			"widerrufen jede frühere Generation sofort, auch wenn das die Zustellung unterbricht.",
	},
	{"Revoke this generation", "Diese Generation widerrufen"},
	{
		"Use this if its key is lost or compromised, and no other one. Otherwise, renew with that reason: this revokes " +
			"all generations that can be used.",
		"Für den Fall, dass ihr Schlüssel verloren oder kompromittiert ist und kein anderer. Erneuern Sie sonst mit " +
			"diesem Grund: Das widerruft alle Generationen, die verwendet werden können.",
	},
	{
		"Generation %s has been revoked. The newest one is generation %d.",
		"Generation %s wurde widerrufen. Die neueste ist Generation %d.",
	},
	{"Planned", "Geplant"},
	{"Reason", "Grund"},
	{
		"Some receivers have not been proved to accept the new certificate. Test them, or remind their administrators.",
		"Für einige Empfänger ist nicht nachgewiesen, dass sie das neue Zertifikat akzeptieren. Testen Sie diese " +
			"Empfänger, oder erinnern Sie ihre Ansprechpartner.",
	},
	{
		"Receivers that accept exactly this certificate need the new one.",
		"Empfänger, die genau dieses Zertifikat akzeptieren, benötigen das neue.",
	},
	{"Receivers that accept the newest certificate", "Empfänger, die das neueste Zertifikat akzeptieren"},
	{
		"Receivers that trust our CA must trust the new one as well.",
		"Empfänger, die unserer CA vertrauen, müssen auch der neuen vertrauen.",
	},
	{"Reissue", "Neu ausstellen"},
	{"Remove %s", "%s entfernen"},
	{"Renew", "Erneuern"},
	{"Renew now", "Jetzt erneuern"},
	{
		"Saved. The answer applies from the next notice on.",
		"Gespeichert. Die Antwort gilt ab der nächsten Benachrichtigung.",
	},
	{"Serial number", "Seriennummer"},
	{"Time zone of mails", "Zeitzone der Mails"},
	{"hexadecimal", "hexadezimal"},
	{"decimal", "dezimal"},
	{"Copy", "Kopieren"},
	{"Copied", "Kopiert"},
	{"Show changes", "Änderungen anzeigen"},
	{"Show roll-overs", "Umstellungen anzeigen"},
	{"Show the arrangement %s", "Vereinbarung %s anzeigen"},
	{"Show the watched certificate %s", "Beobachtetes Zertifikat %s anzeigen"},
	{"Start", "Beginnen"},
	{"Subscribe to Task", "Aufgabe abonnieren (Subscribe to Task)"},
	{"Subscribed to Task", "Abonniert (Subscribe to Task)"},
	{
		"Tell the administrators of your receivers that a new certificate is coming.",
		"Informieren Sie die Ansprechpartner Ihrer Empfänger, dass ein neues Zertifikat kommt.",
	},
	{
		"The background job renews in time and cannot be turned off. You can renew manually only when little " +
			"validity is left. Otherwise the request is refused with the reason.",
		"Der Hintergrundjob erneuert rechtzeitig und kann nicht abgeschaltet werden. Manuell erneuern können Sie nur kurz " +
			"vor dem Ablauf. Sonst wird die Anfrage mit Angabe des Grundes abgelehnt.",
	},
	{"The latest mails", "Die letzten Mails"},
	{
		"There are no key users yet, so no tasks are created. Add the people who look after the tenant's integrations.",
		"Es gibt noch keine Key-User, daher werden keine Aufgaben angelegt. Fügen Sie die Personen hinzu, die sich " +
			"um die Integrationen des Mandanten kümmern.",
	},
	{
		"This page will show the systems that get your messages and whether they accept your certificate. Create an " +
			"arrangement first.",
		"Hier sehen Sie die Systeme, an die Ihre Nachrichten gehen, und ob sie Ihr Zertifikat akzeptieren. Legen Sie " +
			"zuerst eine Vereinbarung an.",
	},
	{"Unsubscribe", "Abbestellen"},
	{"Valid", "Gültig"},
	{"What changed", "Was sich geändert hat"},
	{"What changed between generations %d and %d", "Was sich zwischen Generation %d und %d geändert hat"},
	{"Why did I get no mail?", "Warum habe ich keine Mail erhalten?"},
	{"Yes", "Ja"},
	{"You do not get mails at the moment.", "Sie erhalten zurzeit keine Mails."},
	{"You get a mail for every new task.", "Sie erhalten zu jeder neuen Aufgabe eine Mail."},
	{
		"You no longer get mails about tasks. The tasks themselves remain.",
		"Sie erhalten keine Mails mehr zu Aufgaben. Die Aufgaben selbst bleiben bestehen.",
	},
	{
		"No message can be sent to %d of %d receivers: the certificate is revoked, and the CA has not issued the next one.",
		"An %d von %d Empfängern kann keine Nachricht gesendet werden: Das Zertifikat ist widerrufen, und die CA hat das " +
			"nächste noch nicht ausgestellt.",
	},
	{
		"Your certificate has been renewed, and every receiver accepts the new one.",
		"Ihr Zertifikat wurde erneuert, und jeder Empfänger akzeptiert das neue.",
	},
	{
		"Your certificate has been renewed. %d of %d receivers are not known to accept the new one, and messages " +
			"to %d of them depend on it now.",
		"Ihr Zertifikat wurde erneuert. Bei %d von %d Empfängern ist nicht bekannt, ob sie das neue akzeptieren. Bei %d " +
			"davon hängt die Zustellung bereits davon ab.",
	},
	{
		"Your certificate has been renewed. %d of %d receivers are ready for the new one. The first deadline is %s.",
		"Ihr Zertifikat wurde erneuert. %d von %d Empfängern sind für das neue bereit. Die erste Frist endet am %s.",
	},
	{
		"Your certificate has been renewed. No receiver is known to accept the new one yet. The first deadline is %s.",
		"Ihr Zertifikat wurde erneuert. Noch bei keinem Empfänger ist bekannt, dass er das neue akzeptiert. Die erste " +
			"Frist endet am %s.",
	},
	{
		"Your certificate will be renewed on %s. Until then there is nothing to do.",
		"Ihr Zertifikat wird am %s erneuert. Bis dahin ist nichts zu tun.",
	},
	{"Your task is completed.", "Ihre Aufgabe ist abgeschlossen."},
	{"Your task is in progress.", "Ihre Aufgabe ist in Arbeit."},
	{"changed", "geändert"},
	{"due %s", "fällig am %s"},
	{"closed: %s, %s", "geschlossen: %s, %s"},
	{"Overdue", "Überfällig"},
	{"renewal on %s", "Erneuerung am %s"},
	{"since", "seit"},
	{"today", "heute"},
	{"warning on %s", "Warnung am %s"},
	{"Requested", "Beantragt"},
	{
		"The certificate must be requested manually. Download the request, send it to the CA %s, and paste the " +
			"certificate with its chain below.",
		"Das Zertifikat muss von Hand beantragt werden. Laden Sie den Antrag herunter, senden Sie ihn an die CA %s, und " +
			"fügen Sie unten das Zertifikat mit seiner Kette ein.",
	},
	{"The certificate to be replaced expires on %s.", "Das bisherige Zertifikat läuft am %s ab."},
	{"Download request", "Antrag herunterladen"},
	{"Certificate with its chain (PEM)", "Zertifikat mit Kette (PEM)"},
	{
		"The CA has not answered the request yet. The next attempt is on %s.",
		"Die CA hat den Antrag noch nicht beantwortet. Der nächste Versuch ist am %s.",
	},
	{"Request again with another key", "Mit einem anderen Schlüssel erneut beantragen"},
	{
		"The request was sent again, with another key.",
		"Der Antrag wurde mit einem anderen Schlüssel erneut gesendet.",
	},
	{"Generation %d has been requested.", "Generation %d wurde beantragt."},
}
