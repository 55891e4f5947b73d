package web

// germanShell holds the German texts of the frame of the console, of forms, and of the questions before destructive
// actions.
var germanShell = []translation{
	{"Access", "Zugriff"},
	{"Audit", "Protokoll"},
	{"Fleet", "Bestand"},
	{"Rules", "Regeln"},
	{"Settings", "Einstellungen"},
	{
		"No tokens yet. Programs use them for the API, and people to create an account.",
		"Noch keine Tokens. Programme verwenden sie für die API, Personen zum Anlegen eines Kontos.",
	},
	{"Menu", "Menü"},
	{"Close", "Schließen"},
	{"Cancel", "Abbrechen"},
	{"Tenant %s", "Mandant %s"},
	{"Pages of %s in the menu", "Seiten von %s im Menü"},
	{"Pages of %s", "Seiten von %s"},
	{"Not up to date since %s, retrying.", "Nicht aktuell seit %s, neuer Versuch läuft."},
	{"You are signed out. This is the state of %s.", "Sie sind abgemeldet. Dies ist der Stand von %s."},
	{"Stored in the meantime:", "Inzwischen gespeichert:"},
	{
		"Someone else has changed this in the meantime. Fields that differ show the stored value. Save again " +
			"to replace it with yours, or reload the page to discard your changes.",
		"Inzwischen hat jemand anderes dies geändert. Abweichende Felder zeigen den gespeicherten Wert. " +
			"Speichern Sie erneut, um ihn durch Ihren zu ersetzen, oder laden Sie die Seite neu, um Ihre " +
			"Änderungen zu verwerfen.",
	},
	{
		"You were signed out, so the form was not saved. Sign in to continue.",
		"Sie waren abgemeldet, daher wurde das Formular nicht gespeichert. Melden Sie sich an, um " +
			"fortzufahren.",
	},
	{
		"You were signed out, so the form was not saved. Sign in, and it is filled in again.",
		"Sie waren abgemeldet, daher wurde das Formular nicht gespeichert. Melden Sie sich an, dann wird es " +
			"wieder ausgefüllt.",
	},
	{
		"The form is filled in again. It is not saved yet.",
		"Das Formular ist wieder ausgefüllt. Es ist noch nicht gespeichert.",
	},
	{
		"Choose the files and type the passwords again: a browser does not keep them.",
		"Wählen Sie die Dateien erneut aus und geben Sie die Passwörter erneut ein: Ein Browser behält sie " +
			"nicht.",
	},
	{
		"No passkey was used: it was cancelled, or it took too long. Try again, or choose another way.",
		"Es wurde kein Passkey verwendet: Der Vorgang wurde abgebrochen oder dauerte zu lange. Versuchen Sie " +
			"es erneut oder wählen Sie einen anderen Weg.",
	},
	{"This device already has a passkey for your account.", "Dieses Gerät hat bereits einen Passkey für Ihr Konto."},
	{
		"This browser or device cannot do this. Choose another way, or try another device.",
		"Dieser Browser oder dieses Gerät kann das nicht. Wählen Sie einen anderen Weg oder versuchen Sie " +
			"ein anderes Gerät.",
	},
	{"task of %s", "Aufgabe von %s"},
	{"mail to people of %s", "Mail an Personen von %s"},
	{"token %s", "Token %s"},
	{"import", "Import"},
	{
		"Warnings and renewals by month: %d and %d in twelve months. The table below has the numbers.",
		"Warnungen und Erneuerungen nach Monat: %d und %d in zwölf Monaten. Die Tabelle darunter enthält die " +
			"Zahlen.",
	},
	{
		"Without a warning: of the renewals in the long run, when the job itself has issued every " +
			"certificate and so fixed when it expires. Share of expiry dates: of all times at which a " +
			"certificate can expire, such as those of imported ones, each counted once.",
		"Ohne Warnung: Anteil an den Erneuerungen auf lange Sicht, wenn der Job jedes Zertifikat selbst " +
			"ausgestellt und damit das Ablaufdatum festgelegt hat. Anteil der Ablaufdaten: Anteil an allen " +
			"Zeitpunkten, zu denen ein Zertifikat ablaufen kann, etwa ein importiertes, jeder einmal gezählt.",
	},
	{
		"%s has been created. It has no secret: the workload proves its identity.",
		"%s wurde erstellt. Es hat kein Geheimnis: Der Workload weist seine Identität nach.",
	},
	{"Secret of the token %s, shown only once:", "Geheimnis des Tokens %s, wird nur einmal angezeigt:"},
	{
		"Copy it now. If it is lost, create another token and revoke this one.",
		"Kopieren Sie es jetzt. Wenn es verloren geht, erstellen Sie ein anderes Token und widerrufen Sie " +
			"dieses.",
	},
	{"Add a key user", "Key-User hinzufügen"},
	{"Invite", "Einladen"},
	{"Invite %s", "%s einladen"},
	{
		"Create a token with which the person can create an account",
		"Ein Token erstellen, mit dem die Person ein Konto anlegen kann",
	},
	{"Token for %s, shown only once:", "Token für %s, wird nur einmal angezeigt:"},
	{
		"%s opens %s, enters the token, and chooses a name and a password. The token is valid until %s.",
		"%s öffnet %s, gibt das Token ein und wählt einen Namen und ein Passwort. Das Token ist bis %s " +
			"gültig.",
	},
	{"Write a mail with the token", "Mail mit dem Token schreiben"},
	{"Your account at Perennial", "Ihr Konto bei Perennial"},
	{
		"Hello %s,\n\nyou look after the certificates of %s. To create your account, open %s, enter this " +
			"token and choose a name and a password:\n\n%s\n\nThe token is valid until %s. Do not pass it on.\n",
		"Hallo %s,\n\nSie betreuen die Zertifikate von %s. Um Ihr Konto anzulegen, öffnen Sie %s, geben Sie " +
			"dieses Token ein und wählen Sie einen Namen und ein Passwort:\n\n%s\n\nDas Token ist bis %s gültig. " +
			"Geben Sie es nicht weiter.\n",
	},
	{
		"Nothing was deleted. Type the name to confirm it.",
		"Es wurde nichts gelöscht. Geben Sie zur Bestätigung den Namen ein.",
	},
	{"This cannot be undone.", "Das kann nicht rückgängig gemacht werden."},
	{"No message was sent in the last 30 days.", "In den letzten 30 Tagen wurde keine Nachricht gesendet."},
	{"%s in the last 30 days, the latest %s.", "%s in den letzten 30 Tagen, die letzte %s."},
	{"Delete the account %s?", "Das Konto %s löschen?"},
	{"Delete account", "Konto löschen"},
	{
		"The person can create a new account with a new token.",
		"Die Person kann mit einem neuen Token ein neues Konto anlegen.",
	},
	{"The account is not signed in at the moment.", "Das Konto ist zurzeit nicht angemeldet."},
	{
		"Signed in: %s, last active %s. They are signed out at once.",
		"Angemeldet: %s, zuletzt aktiv %s. Die Anmeldung endet sofort.",
	},
	{"Deleted with it: %s.", "Wird mit gelöscht: %s."},
	{
		"The key user %s of %s stays, and still gets tasks and mails.",
		"Der Key-User %s von %s bleibt und bekommt weiterhin Aufgaben und Mails.",
	},
	{"Revoke the token %s?", "Das Token %s widerrufen?"},
	{"Revoke token", "Token widerrufen"},
	{
		"To replace a token without an interruption, create a new one first, and revoke this one when it is " +
			"no longer used.",
		"Um ein Token ohne Unterbrechung zu ersetzen, erstellen Sie zuerst ein neues und widerrufen Sie " +
			"dieses, wenn es nicht mehr verwendet wird.",
	},
	{"It was never used.", "Es wurde nie verwendet."},
	{
		"It was last used %s. Programs that use it are refused at once.",
		"Es wurde zuletzt %s verwendet. Programme, die es verwenden, werden sofort abgewiesen.",
	},
	{"Senders of %s: %s", "Sender von %s: %s"},
	{
		"A gateway with this token gets no more certificates, and stops sending messages.",
		"Ein Gateway mit diesem Token bekommt keine Zertifikate mehr und sendet keine Nachrichten mehr.",
	},
	{
		"Created with it and kept for now: %s. The next page offers to end them.",
		"Damit erstellt und vorerst behalten: %s. Die nächste Seite bietet an, sie zu beenden.",
	},
	{"Undo the import of %s?", "Den Import von %s rückgängig machen?"},
	{"To import them again, upload the files again.", "Um erneut zu importieren, laden Sie die Dateien erneut hoch."},
	{
		"Removed: what the import created, with %s and their certificates.",
		"Entfernt wird, was der Import angelegt hat: %s mit ihren Zertifikaten.",
	},
	{
		"It stops at the first tenant whose certificate was renewed, or that has sent a message.",
		"Es hält beim ersten Mandanten an, dessen Zertifikat erneuert wurde oder der eine Nachricht gesendet " +
			"hat.",
	},
	{"Import %s?", "%s importieren?"},
	{
		"You can undo it until a certificate is renewed or a message is sent.",
		"Sie können es rückgängig machen, bis ein Zertifikat erneuert oder eine Nachricht gesendet wird.",
	},
	{
		"Their people and arrangements are created, and the background job renews their certificates from " +
			"now on.",
		"Ihre Personen und Vereinbarungen werden angelegt, und der Hintergrundjob erneuert von nun an ihre " +
			"Zertifikate.",
	},
	{"First renewals: %s, from %s on.", "Erste Erneuerungen: %s, ab dem %s."},
	{
		"First renewals that change what receivers may check: %s.",
		"Erste Erneuerungen, die ändern, was Empfänger prüfen können: %s.",
	},
	{"Revoke the calendar address?", "Die Kalenderadresse widerrufen?"},
	{
		"Calendars that have subscribed to it get no more dates.",
		"Kalender, die sie abonniert haben, bekommen keine Termine mehr.",
	},
	{"A new address must be added to each calendar.", "Eine neue Adresse muss in jedem Kalender eingetragen werden."},
	{"Remove the passkey %s?", "Den Passkey %s entfernen?"},
	{"Remove passkey", "Passkey entfernen"},
	{"You can add a passkey again on the device.", "Sie können auf dem Gerät wieder einen Passkey hinzufügen."},
	{"The device can no longer sign in with it.", "Das Gerät kann sich damit nicht mehr anmelden."},
	{"Passkeys that remain: %d.", "Verbleibende Passkeys: %d."},
	{"Last used %s.", "Zuletzt verwendet: %s."},
	{"Remove the key user %s?", "Den Key-User %s entfernen?"},
	{"Remove key user", "Key-User entfernen"},
	{
		"If you add the person again, they get new tasks only.",
		"Wenn Sie die Person erneut hinzufügen, bekommt sie nur neue Aufgaben.",
	},
	{
		"Deleted: all tasks of %s, of which are not completed: %s.",
		"Gelöscht werden alle Aufgaben von %s, davon nicht abgeschlossen: %s.",
	},
	{
		"Accounts and tokens of %s stop working at once.",
		"Konten und Tokens von %s funktionieren ab sofort nicht mehr.",
	},
	{
		"%s is the only key user. Without one, no tasks are created.",
		"%s ist der einzige Key-User. Ohne Key-User entstehen keine Aufgaben.",
	},
	{"Revoke and replace the lost %s?", "Verloren: %s widerrufen und ersetzen?"},
	{"Revoke and replace the compromised %s?", "Kompromittiert: %s widerrufen und ersetzen?"},
	{"Revoke and renew", "Widerrufen und erneuern"},
	{"Generation %d is lost: revoke it?", "Generation %d ist verloren: widerrufen?"},
	{"Generation %d is compromised: revoke it?", "Generation %d ist kompromittiert: widerrufen?"},
	{"Revoke generation", "Generation widerrufen"},
	{
		"The certificate is revoked at once, and its key is destroyed. If it is the newest one, it is renewed.",
		"Das Zertifikat wird sofort widerrufen und sein Schlüssel vernichtet. Ist es das neueste, wird es erneuert.",
	},
	{
		"No arrangement presents it, so no message is affected.",
		"Keine Vereinbarung verwendet es, also ist keine Nachricht betroffen.",
	},
	{
		"Affected: %s. Their messages use another valid generation at once. A receiver that accepts none refuses every " +
			"message until a new one is installed there.",
		"Betroffen: %s. Ihre Nachrichten verwenden sofort eine andere gültige Generation. Ein Empfänger, der keine " +
			"akzeptiert, lehnt jede Nachricht ab, bis dort eine neue installiert ist.",
	},
	{
		"The certificates in use are revoked at once, and their keys are destroyed.",
		"Die verwendeten Zertifikate werden sofort widerrufen und ihre Schlüssel vernichtet.",
	},
	{
		"Affected: %s. Receivers that do not accept the new certificate yet refuse every message until it is installed " +
			"there.",
		"Betroffen: %s. Empfänger, die das neue Zertifikat noch nicht akzeptieren, lehnen jede Nachricht ab, bis es " +
			"dort installiert ist.",
	},
	{"Messages of %s: %s", "Nachrichten von %s: %s"},
	{"Send another request to the CA?", "Einen anderen Antrag an die CA senden?"},
	{
		"The key of the present request is destroyed. A certificate for it can no longer be used.",
		"Der Schlüssel des bisherigen Antrags wird vernichtet. Ein Zertifikat dafür kann nicht mehr verwendet werden.",
	},
	{"Delete the arrangement %s?", "Die Vereinbarung %s löschen?"},
	{"Messages through it: %s", "Nachrichten darüber: %s"},
	{
		"From now on they are refused. Parked messages, links and the feed of the arrangement are deleted.",
		"Ab sofort werden sie abgewiesen. Geparkte Nachrichten, Links und der Feed der Vereinbarung werden " +
			"gelöscht.",
	},
	{
		"Everything that is known about the receiver's certificates is deleted.",
		"Alles, was über die Zertifikate beim Empfänger bekannt ist, wird gelöscht.",
	},
	{"Revoke the link?", "Den Link widerrufen?"},
	{"Revoke link", "Link widerrufen"},
	{
		"You can create another link, which has another address.",
		"Sie können einen anderen Link mit einer anderen Adresse erstellen.",
	},
	{
		"Created by %s, %s. Whoever opens it sees that it is no longer valid.",
		"Erstellt von %s, %s. Wer ihn öffnet, sieht, dass er nicht mehr gültig ist.",
	},
	{
		"The certificate was reported as installed through a link %s.",
		"Das Zertifikat wurde über den Link %s als installiert gemeldet.",
	},
	{"Revoke the feed of %s?", "Den Feed von %s widerrufen?"},
	{"Give the feed of %s a new address?", "Dem Feed von %s eine neue Adresse geben?"},
	{"The present address was never fetched.", "Die bisherige Adresse wurde nie abgerufen."},
	{"The present address was last fetched %s, by %s.", "Die bisherige Adresse wurde zuletzt %s abgerufen, von %s."},
	{
		"Receivers that follow it keep the certificates that they have, and miss the next renewal until they " +
			"have the new address.",
		"Empfänger, die ihm folgen, behalten ihre Zertifikate und verpassen die nächste Erneuerung, bis sie " +
			"die neue Adresse haben.",
	},
	{"Stop watching %s?", "%s nicht mehr beobachten?"},
	{
		"Deleted: its history of %s, and its links. Tasks and mails remain.",
		"Gelöscht werden der Verlauf mit %s und die Links. Aufgaben und Mails bleiben.",
	},
	{
		"No one is warned before it is renewed, or if the renewal does not come. Systems that know it: %s.",
		"Niemand wird gewarnt, bevor es erneuert wird oder wenn die Erneuerung ausbleibt. Systeme, die es " +
			"kennen: %s.",
	},
	{"Refuse the certificate of %s?", "Das Zertifikat von %s ablehnen?"},
	{"Refuse certificate", "Zertifikat ablehnen"},
	{"You can accept it again at any time.", "Sie können es jederzeit wieder akzeptieren."},
	{"Calls with it are refused at once. SHA-256: %s", "Aufrufe damit werden sofort abgewiesen. SHA-256: %s"},
	{
		"Other certificates of the partner that are accepted: %d.",
		"Andere Zertifikate des Partners, die akzeptiert werden: %d.",
	},
	{
		"The partner has no other accepted certificate, so all of its calls are refused.",
		"Der Partner hat kein anderes akzeptiertes Zertifikat, daher werden alle seine Aufrufe abgewiesen.",
	},
	{"messages", "Nachrichten"},
	{"browser", "Browser"},
	{"browsers", "Browser"},
	{"passkey", "Passkey"},
	{"passkeys", "Passkeys"},
	{"account or token", "Konto oder Token"},
	{"accounts and tokens", "Konten und Tokens"},
	{"tenant", "Mandant"},
	{"tenants", "Mandanten"},
	{"certificate", "Zertifikat"},
	{"certificates", "Zertifikate"},
	{"task", "Aufgabe"},
	{"tasks", "Aufgaben"},
	{"arrangement", "Vereinbarung"},
	{"arrangements", "Vereinbarungen"},
}
