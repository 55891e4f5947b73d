package web

// germanFrame holds the German texts of the frame of every page, of signing in, and of accounts.
var germanFrame = []translation{
	{"Questions:", "Fragen:"},
	{"Please wait a moment", "Bitte warten Sie einen Moment"},
	{
		"Too many pages were opened from your network within a minute.",
		"Aus Ihrem Netz wurden innerhalb einer Minute zu viele Seiten geöffnet.",
	},
	{
		"Nothing was changed. Wait %s, open the page again, and repeat the step.",
		"Nichts wurde geändert. Warten Sie %s, öffnen Sie die Seite erneut und wiederholen Sie den Schritt.",
	},
	{
		"Wait %s, then open the page again. Your link stays valid.",
		"Warten Sie %s und öffnen Sie die Seite dann erneut. Ihr Link bleibt gültig.",
	},
	{"Open the page again", "Seite erneut öffnen"},
	{"second", "Sekunde"},
	{"seconds", "Sekunden"},
	{"%d days", "%d Tage"},
	{"%d days ago", "vor %d Tagen"},
	{"%d hours ago", "vor %d Stunden"},
	{"%d minutes ago", "vor %d Minuten"},
	{
		"%d things need attention. The next run is on %s.",
		"%d Punkte erfordern Ihre Aufmerksamkeit. Der nächste Lauf ist am %s.",
	},
	{
		"%s can no longer sign in and has been signed out everywhere.",
		"%s kann sich nicht mehr anmelden und wurde überall abgemeldet.",
	},
	{"%s left", "noch %s"},
	{"%s: renewal", "%s: Erneuerung"},
	{"%s: warning, renewal in the next run", "%s: Warnung, Erneuerung im nächsten Lauf"},
	{"0 days", "0 Tage"},
	{"1 day", "1 Tag"},
	{"1 day ago", "vor 1 Tag"},
	{"1 hour ago", "vor 1 Stunde"},
	{"1 minute ago", "vor 1 Minute"},
	{
		"1 thing needs attention. The next run is on %s.",
		"1 Punkt erfordert Ihre Aufmerksamkeit. Der nächste Lauf ist am %s.",
	},
	{
		"A password alone does not suffice for your account. Sign in with a passkey or with your company account. If you " +
			"have neither, ask an operator for a new token.",
		"Für Ihr Konto genügt ein Passwort allein nicht. Melden Sie sich mit einem Passkey oder mit Ihrem " +
			"Unternehmenskonto an. Wenn Sie beides nicht haben, bitten Sie einen Operator um ein neues Token.",
	},
	{"Accepted", "Akzeptiert"},
	{"Accounts", "Konten"},
	{"Action", "Aktion"},
	{"Active sessions", "Aktive Sitzungen"},
	{"Add a passkey", "Passkey hinzufügen"},
	{"Added", "Hinzugefügt"},
	{"Address", "Adresse"},
	{"At least 12 characters. A sentence works well.", "Mindestens 12 Zeichen. Ein ganzer Satz eignet sich gut."},
	{"At risk", "Gefährdet"},
	{"Audit log", "Audit-Protokoll"},
	{"Browser", "Browser"},
	{"Business Configuration", "Business-Konfiguration"},
	{"CA", "CA"},
	{"Calendar", "Kalender"},
	{"Certificates", "Zertifikate"},
	{"Change", "Ändern"},
	{"Change password", "Passwort ändern"},
	{"Completed", "Abgeschlossen"},
	{"Could not check the files", "Die Dateien konnten nicht geprüft werden"},
	{"Could not create the link", "Der Link konnte nicht erstellt werden"},
	{"Could not delete", "Konnte nicht gelöscht werden"},
	{"Could not renew the certificate", "Das Zertifikat konnte nicht erneuert werden"},
	{"Could not revoke", "Konnte nicht widerrufen werden"},
	{"Could not save", "Konnte nicht gespeichert werden"},
	{"Could not sign in", "Anmeldung nicht möglich"},
	{"Could not start", "Konnte nicht gestartet werden"},
	{"Could not switch the generation", "Auf die Generation konnte nicht umgestellt werden"},
	{"Could not test the receiver", "Der Empfänger konnte nicht getestet werden"},
	{"Create account", "Konto anlegen"},
	{"Create address", "Adresse erstellen"},
	{"Create new address", "Neue Adresse erstellen"},
	{"Create one with the token that you were given.", "Legen Sie mit dem Token, das Sie erhalten haben, ein Konto an."},
	{
		"Create your account with a token for an operator or a key user. Each token creates one account. The first " +
			"token was shown when the service started for the first time.",
		"Legen Sie mit einem Token für Operatoren oder Key-User Ihr Konto an. Mit jedem Token kann ein Konto " +
			"angelegt werden. Das erste Token wurde beim ersten Start des Dienstes angezeigt.",
	},
	{"Cut over", "Umgestellt"},
	{"Delete", "Löschen"},
	{"Everything is fine. The next run is on %s.", "Alles in Ordnung. Der nächste Lauf ist am %s."},
	{"Expired", "Abgelaufen"},
	{"Failed", "Fehlgeschlagen"},
	{"For example Europe/Berlin. Leave empty for UTC.", "Zum Beispiel Europe/Berlin. Leer lassen für UTC."},
	{"Forecast", "Vorschau"},
	{"Go to overview", "Zur Übersicht"},
	{"I already have an account", "Ich habe bereits ein Konto"},
	{"Import", "Import"},
	{"In progress", "In Arbeit"},
	{"In use", "Verwendet"},
	{"Invite a person with a token", "Eine Person mit einem Token einladen"},
	{
		"It may have been deleted, or you have no access to it. The menu shows the pages that you can open.",
		"Der Eintrag wurde möglicherweise gelöscht, oder Sie haben keinen Zugriff darauf. Das Menü zeigt die Seiten, die " +
			"Sie öffnen können.",
	},
	{"Key user %s of %s", "Key-User %s von %s"},
	{"Language", "Sprache"},
	{"Last used", "Zuletzt verwendet"},
	{"Mails", "Mails"},
	{"Main", "Hauptmenü"},
	{"More", "Mehr"},
	{"Name", "Name"},
	{"New password", "Neues Passwort"},
	{"No account yet?", "Noch kein Konto?"},
	{"No mail server", "Kein Mailserver"},
	{"Not tested", "Nicht getestet"},
	{"Old password", "Altes Passwort"},
	{"Open", "Offen"},
	{"Operator: all tenants", "Operator: alle Mandanten"},
	{"Overview", "Übersicht"},
	{"Page not available", "Seite nicht verfügbar"},
	{"Passkeys", "Passkeys"},
	{
		"Passkeys need a host name in the service's address, such as https://perennial.example.com or " +
			"http://localhost. This service is reached by its IP address.",
		"Passkeys erfordern einen Hostnamen in der Adresse des Dienstes, zum Beispiel https://perennial.example.com oder " +
			"http://localhost. Dieser Dienst ist nur über seine IP-Adresse erreichbar.",
	},
	{"Password", "Passwort"},
	{"People", "Personen"},
	{"Policy", "Regelwerk"},
	{"Queued", "In der Warteschlange"},
	{"Ready", "Bereit"},
	{"Refused", "Abgelehnt"},
	{"Remove", "Entfernen"},
	{"Retired", "Stillgelegt"},
	{"Reverted", "Wieder altes Zertifikat"},
	{"Revoke address", "Adresse widerrufen"},
	{"Revoked", "Widerrufen"},
	{"Role", "Rolle"},
	{"Roll-overs", "Umstellungen"},
	{"Runs", "Läufe"},
	{"Same as the browser", "Wie im Browser"},
	{"Save", "Speichern"},
	{"Saved.", "Gespeichert."},
	{
		"To see planned dates in Outlook, Google Calendar or Apple Calendar, subscribe to a personal address. Anyone who " +
			"has the address can read the dates, but nothing else.",
		"Mit einer persönlichen Adresse können Sie die geplanten Termine in Outlook, Google Kalender oder Apple Kalender " +
			"abonnieren. Wer die Adresse kennt, kann die Termine lesen, aber sonst nichts.",
	},
	{"Sent", "Gesendet"},
	{"Settled", "Abgeschlossen"},
	{"Sign in", "Anmelden"},
	{
		"Sign in again to change how you sign in or to end other sessions. Then repeat the last step.",
		"Melden Sie sich erneut an, um Anmeldeverfahren zu ändern oder andere Sitzungen zu beenden. Wiederholen Sie " +
			"danach den letzten Schritt.",
	},
	{"Sign in with %s", "Anmelden mit %s"},
	{"Sign in with a passkey", "Anmelden mit einem Passkey"},
	{"Sign out", "Abmelden"},
	{"Signs in with", "Meldet sich an mit"},
	{"Since", "Seit"},
	{"Skip to content", "Zum Inhalt springen"},
	{
		"The address of this page has a filter, an order or a page that does not exist. Open the page from the menu.",
		"Die Adresse dieser Seite hat einen Filter, eine Reihenfolge oder eine Seite, die es nicht gibt. Öffnen Sie die " +
			"Seite über das Menü.",
	},
	{
		"Someone else has changed this in the meantime. Go back, reload the page and try again.",
		"Inzwischen hat eine andere Person dies geändert. Gehen Sie zurück, laden Sie die Seite neu, und versuchen " +
			"Sie es erneut.",
	},
	{"Something went wrong", "Es ist ein Fehler aufgetreten"},
	{"Standby", "Bereitgestellt"},
	{"Tasks", "Aufgaben"},
	{"Tenants", "Mandanten"},
	{
		"The calendar address has been revoked. Subscriptions no longer get any dates.",
		"Die Kalenderadresse wurde widerrufen. Abonnements erhalten keine Termine mehr.",
	},
	{
		"The company's sign-in service does not answer at the moment. Please try again.",
		"Der Anmeldedienst Ihres Unternehmens antwortet zurzeit nicht. Bitte versuchen Sie es erneut.",
	},
	{"The company's sign-in service refused the sign-in: %s.", "Der Anmeldedienst Ihres Unternehmens hat die Anmeldung " +
		"abgelehnt: %s."},
	{
		"The company's sign-in service sent an invalid answer. Please try again.",
		"Der Anmeldedienst Ihres Unternehmens hat eine ungültige Antwort gesendet. Bitte versuchen Sie es erneut.",
	},
	{"The old password is wrong.", "Das alte Passwort ist falsch."},
	{
		"The passkey has been added. You can now sign in with it.",
		"Der Passkey wurde hinzugefügt. Sie können sich jetzt damit anmelden.",
	},
	{"The passkey has been removed.", "Der Passkey wurde entfernt."},
	{"The password is longer than 1024 bytes.", "Das Passwort ist länger als 1024 Byte."},
	{
		"The password must have at least 12 characters. A sentence works well.",
		"Das Passwort muss mindestens 12 Zeichen haben. Ein ganzer Satz eignet sich gut.",
	},
	{
		"The password has been changed. Other browsers must sign in again.",
		"Das Passwort wurde geändert. Andere Browser müssen sich neu anmelden.",
	},
	{"The session has been ended.", "Die Sitzung wurde beendet."},
	{"There is no such page", "Diese Seite gibt es nicht"},
	{
		"These accounts can sign in. A person creates an account with a token, or signs in with an account of your " +
			"company.",
		"Mit diesen Konten ist eine Anmeldung möglich. Neue Benutzer legen mit einem Token ein Konto an oder melden sich " +
			"mit ihrem Unternehmenskonto an.",
	},
	{"This browser", "Dieser Browser"},
	{
		"This is not your fault. Please try again. The service's log has the details.",
		"Der Fehler liegt nicht bei Ihnen. Bitte versuchen Sie es erneut. Einzelheiten stehen im Log des Dienstes.",
	},
	{
		"This name is taken, or an account was already created with this token. If that account is yours, sign in " +
			"with it.",
		"Dieser Name ist vergeben, oder mit diesem Token wurde bereits ein Konto angelegt. Gehört das Konto Ihnen, " +
			"melden Sie sich damit an.",
	},
	{"Your account has no rights at the moment. Sign in with your company account.",
		"Ihr Konto hat zurzeit keine Berechtigungen. Melden Sie sich mit Ihrem Unternehmenskonto an."},
	{"This passkey is not registered here.", "Dieser Passkey ist hier nicht registriert."},
	{
		"This password is easy to guess: it mainly consists of common words, names or patterns. Use a sentence that only " +
			"you know.",
		"Dieses Passwort ist leicht zu erraten: Es besteht vor allem aus häufigen Wörtern, Namen oder Mustern. Verwenden " +
			"Sie einen Satz, den nur Sie kennen.",
	},
	{
		"This password is in a list of passwords that were stolen from other services. Use another one, and change it " +
			"where you use it.",
		"Dieses Passwort steht in einer Liste von Passwörtern, die bei anderen Diensten gestohlen wurden. Verwenden Sie " +
			"ein anderes, und ändern Sie es dort, wo Sie es verwenden.",
	},
	{
		"This token is unknown or no longer valid. Ask the person who gave it to you for a new one.",
		"Dieses Token ist unbekannt oder nicht mehr gültig. Bitten Sie die Person, von der Sie es erhalten haben, um ein " +
			"neues.",
	},
	{
		"This took too long, or it was started in another browser. Please try again.",
		"Der Vorgang hat zu lange gedauert oder wurde in einem anderen Browser gestartet. Bitte versuchen Sie es erneut.",
	},
	{"Time zone", "Zeitzone"},
	{"Times are in %s.", "Zeiten in %s."},
	{"Token", "Token"},
	{"Tokens", "Tokens"},
	{
		"Too many attempts from your address. Wait a minute.",
		"Zu viele Versuche von Ihrer Adresse. Warten Sie eine Minute.",
	},
	{
		"Too many wrong passwords. Try again after %s, or sign in with a passkey.",
		"Zu viele falsche Passwörter. Versuchen Sie es nach dem %s erneut, oder melden Sie sich mit einem Passkey an.",
	},
	{
		"Too many people are signing in at this moment. Try again in a few seconds.",
		"Zurzeit melden sich zu viele Benutzer an. Versuchen Sie es in einigen Sekunden erneut.",
	},
	{"Waiting", "Wartet"},
	{
		"Waiting: no answer to the newest certificate yet. Refused: the receiver does not accept it. Claimed: a person " +
			"reports it as installed, but nothing proves it yet. Ready: the receiver accepts it. Cut over: messages use it. " +
			"Settled: the old one is no longer needed. Reverted: the receiver accepts only the old one again. At risk: the " +
			"deadline for the newest certificate is within 30 days. Stopped: no message can be sent, because the certificate " +
			"is revoked and the CA has not issued the next one.",
		"Wartet: noch keine Antwort auf das neueste Zertifikat. Abgelehnt: Der Empfänger akzeptiert es nicht. Gemeldet: " +
			"Eine Person hat es als installiert gemeldet, der Nachweis fehlt noch. Bereit: Der Empfänger akzeptiert es. " +
			"Umgestellt: Nachrichten verwenden es. Abgeschlossen: Das alte wird nicht mehr benötigt. Wieder altes Zertifikat: " +
			"Der Empfänger akzeptiert nur noch das alte. Gefährdet: Die Frist für das neueste Zertifikat endet innerhalb von " +
			"30 Tagen. Gestoppt: Es kann keine Nachricht gesendet werden, weil das Zertifikat widerrufen ist und die CA das " +
			"nächste noch nicht ausgestellt hat.",
	},
	{"Welcome", "Willkommen"},
	{"Why?", "Warum?"},
	{
		"With a passkey you sign in by fingerprint, face or security key. It cannot be phished. Adding one needs " +
			"JavaScript.",
		"Mit einem Passkey melden Sie sich per Fingerabdruck, Gesichtserkennung oder Sicherheitsschlüssel an. Er ist gegen " +
			"Phishing geschützt. Zum Hinzufügen ist JavaScript erforderlich.",
	},
	{"Wrong name or password.", "Name oder Passwort ist falsch."},
	{
		"You are signed in with your company account, but have no rights here: %s.",
		"Sie sind mit Ihrem Unternehmenskonto angemeldet, haben hier aber keine Berechtigungen: %s.",
	},
	{
		"You are signed in with this account. Another operator can delete it.",
		"Sie sind mit diesem Konto angemeldet. Ein anderer Operator kann es löschen.",
	},
	{
		"You will sign in with this name: lowercase letters, digits and . _ @ -",
		"Mit diesem Namen melden Sie sich an: Kleinbuchstaben, Ziffern und . _ @ -",
	},
	{
		"You are signed in with your company account, but this service requires a stronger sign-in there, such as a second " +
			"factor. Required: %s = %s.",
		"Sie sind mit Ihrem Unternehmenskonto angemeldet, aber dieser Dienst verlangt dort eine stärkere " +
			"Anmeldung, zum Beispiel mit einem zweiten Faktor. Verlangt wird: %s = %s.",
	},
	{"Your account", "Ihr Konto"},
	{"Your calendar address, shown only once:", "Ihre Kalenderadresse (wird nur einmal angezeigt):"},
	{"company account", "Unternehmenskonto"},
	{"in %d days", "in %d Tagen"},
	{"in %d hours", "in %d Stunden"},
	{"in %d minutes", "in %d Minuten"},
	{"in 1 day", "in 1 Tag"},
	{"in 1 hour", "in 1 Stunde"},
	{"in 1 minute", "in 1 Minute"},
	{"message", "Nachricht"},
	{"no answer yet", "noch keine Antwort"},
	{"no clear answer", "keine eindeutige Antwort"},
	{"not refused", "nicht abgelehnt"},
	{"now", "jetzt"},
	{"password or passkey", "Passwort oder Passkey"},
	{"person", "Person"},
	{"test", "Test"},
}
