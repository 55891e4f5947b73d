package words

import "strings"

// Action returns what an entry of the audit log reports, in a language. An unknown code stays as it is.
func Action(language, code string) string {
	text, found := actions[code]
	switch {
	case !found:
		return strings.ReplaceAll(code, ".", " ")
	case language == German:
		return text.german
	}
	return text.english
}

// actions are the texts of the entries of the audit log, by their codes.
var actions = map[string]translation{
	"account.created":          {"account created", "Konto angelegt"},
	"account.deleted":          {"account deleted", "Konto gelöscht"},
	"account.password-changed": {"password changed", "Passwort geändert"},
	"account.rights":           {"rights of the account changed", "Rechte des Kontos geändert"},
	"account.signed-in":        {"signed in", "angemeldet"},
	"account.wrong-password":   {"wrong password", "falsches Passwort"},

	"administrator.resumed": {"administrator gets mails again", "Ansprechpartner erhält wieder Mails"},
	"administrator.stopped": {"administrator gets no more mails", "Ansprechpartner erhält keine Mails mehr"},

	"arrangement.accepted":    {"receiver accepts the certificate", "Empfänger akzeptiert das Zertifikat"},
	"arrangement.changed":     {"arrangement changed", "Vereinbarung geändert"},
	"arrangement.claimed":     {"reported as installed", "als installiert gemeldet"},
	"arrangement.created":     {"arrangement created", "Vereinbarung angelegt"},
	"arrangement.cut-over":    {"messages use another certificate", "Nachrichten verwenden ein anderes Zertifikat"},
	"arrangement.deleted":     {"arrangement deleted", "Vereinbarung gelöscht"},
	"arrangement.newest-only": {"receiver accepts only the newest one", "Empfänger akzeptiert nur das neueste"},
	"arrangement.refused":     {"receiver refuses the certificate", "Empfänger lehnt das Zertifikat ab"},
	"arrangement.unclear":     {"answer of the receiver is not clear", "Antwort des Empfängers ist nicht eindeutig"},

	"arrangements.at-risk": {"receivers at risk", "Empfänger gefährdet"},
	"arrangements.ready":   {"every receiver is ready", "jeder Empfänger ist bereit"},
	"arrangements.unready": {"expired before receivers were ready", "abgelaufen, bevor Empfänger bereit waren"},

	"authority.announced":       {"CA announced", "CA angekündigt"},
	"authority.brought-forward": {"CA brought forward", "CA vorgezogen"},
	"authority.exported":        {"key of a root exported", "Schlüssel einer Root exportiert"},
	"authority.installed":       {"CA installed", "CA installiert"},
	"authority.key-removed":     {"key of a root removed", "Schlüssel einer Root entfernt"},
	"authority.key-restored":    {"key of a root restored", "Schlüssel einer Root zurückgeholt"},
	"authority.made":            {"CA created", "CA erstellt"},
	"authority.requested":       {"CA requested", "CA beantragt"},
	"authority.revoked":         {"CA revoked", "CA widerrufen"},
	"authority.signs":           {"CA signs from now on", "CA signiert ab jetzt"},
	"authority.trusted":         {"receiver trusts the CA", "Empfänger vertraut der CA"},
	"authority.untrusted":       {"receiver does not trust the CA", "Empfänger vertraut der CA nicht"},

	"calendar.created": {"calendar address created", "Kalenderadresse erstellt"},
	"calendar.revoked": {"calendar address revoked", "Kalenderadresse widerrufen"},

	"certificate.adopted":   {"certificate imported", "Zertifikat importiert"},
	"certificate.held":      {"new certificate held back", "neues Zertifikat zurückgehalten"},
	"certificate.issued":    {"certificate issued", "Zertifikat ausgestellt"},
	"certificate.renewed":   {"certificate renewed", "Zertifikat erneuert"},
	"certificate.requested": {"certificate requested", "Zertifikat beantragt"},
	"certificate.retired":   {"certificate retired", "Zertifikat stillgelegt"},
	"certificate.revoked":   {"certificate revoked", "Zertifikat widerrufen"},
	"certificate.warned":    {"warned before the expiry", "vor dem Ablauf gewarnt"},

	"counterparty.mailed":             {"counterparty mailed", "Gegenpartei angeschrieben"},
	"counterparty.changed":            {"counterparty changed", "Gegenpartei geändert"},
	"counterparty.contact-accepted":   {"contact accepted", "Kontakt akzeptiert"},
	"counterparty.contact-added":      {"contact added", "Kontakt hinzugefügt"},
	"counterparty.contact-confirmed":  {"contact confirmed", "Kontakt bestätigt"},
	"counterparty.contact-proposed":   {"contact proposed", "Kontakt vorgeschlagen"},
	"counterparty.contact-linked":     {"link for a contact created", "Link für einen Kontakt erstellt"},
	"counterparty.contact-removed":    {"contact removed", "Kontakt entfernt"},
	"counterparty.created":            {"counterparty created", "Gegenpartei angelegt"},
	"counterparty.deleted":            {"counterparty deleted", "Gegenpartei gelöscht"},
	"counterparty.feed-created":       {"feed created", "Feed erstellt"},
	"counterparty.feed-fetched":       {"feed fetched for the first time", "Feed zum ersten Mal abgerufen"},
	"counterparty.feed-readdressed":   {"feed has a new address", "Feed hat eine neue Adresse"},
	"counterparty.feed-revoked":       {"feed revoked", "Feed widerrufen"},
	"counterparty.feed-silent":        {"feed no longer fetched", "Feed nicht mehr abgerufen"},
	"counterparty.installed":          {"certificates reported as installed", "Zertifikate als installiert gemeldet"},
	"counterparty.link-created":       {"page address created", "Adresse der Seite erstellt"},
	"counterparty.link-revoked":       {"page address revoked", "Adresse der Seite widerrufen"},
	"counterparty.linked":             {"receiver linked to a counterparty", "Empfänger verknüpft"},
	"counterparty.product-set":        {"product chosen", "Produkt gewählt"},
	"counterparty.proposal-accepted":  {"proposal accepted", "Vorschlag akzeptiert"},
	"counterparty.proposal-dismissed": {"proposal dismissed", "Vorschlag verworfen"},
	"counterparty.tested":             {"tests requested", "Tests angefordert"},
	"counterparty.unlinked":           {"receiver unlinked", "Verknüpfung gelöst"},

	"credential.changed": {"credential changed", "Credential geändert"},
	"credential.created": {"credential created", "Credential angelegt"},

	"database.moved":    {"database moved", "Datenbank umgezogen"},
	"database.restored": {"database restored", "Datenbank wiederhergestellt"},

	"feed.created":     {"feed created", "Feed erstellt"},
	"feed.fetched":     {"feed fetched", "Feed abgerufen"},
	"feed.installed":   {"installed from the feed", "aus dem Feed installiert"},
	"feed.readdressed": {"feed has a new address", "Feed hat eine neue Adresse"},
	"feed.revoked":     {"feed revoked", "Feed widerrufen"},
	"feed.silent":      {"feed no longer fetched", "Feed nicht mehr abgerufen"},

	"guard.accepted": {"guard accepts a certificate", "Guard akzeptiert ein Zertifikat"},
	"guard.declined": {"certificate refused at the guard", "Zertifikat am Guard abgelehnt"},
	"guard.held":     {"guard holds a certificate", "Guard hält ein Zertifikat zurück"},

	"import.applied":    {"import applied", "Import angewendet"},
	"import.checked":    {"import checked", "Import geprüft"},
	"import.taken-back": {"part of an import taken back", "Teil eines Imports zurückgenommen"},
	"import.undone":     {"import undone", "Import rückgängig gemacht"},

	"it-contacts.changed": {"IT contacts changed", "IT-Kontakte geändert"},

	"key-user.changed":      {"key user changed", "Key-User geändert"},
	"key-user.created":      {"key user added", "Key-User hinzugefügt"},
	"key-user.deleted":      {"key user removed", "Key-User entfernt"},
	"key-user.subscribed":   {"subscribed to task mails", "Aufgaben-Mails abonniert"},
	"key-user.unsubscribed": {"unsubscribed from task mails", "Aufgaben-Mails abbestellt"},

	"key.destroyed": {"key destroyed", "Schlüssel vernichtet"},
	"key.moved":     {"key moved", "Schlüssel umgezogen"},
	"key.rotated":   {"sealing key rotated", "Versiegelungsschlüssel rotiert"},

	"link.created":   {"link created", "Link erstellt"},
	"link.installed": {"reported as installed by a link", "über einen Link als installiert gemeldet"},
	"link.revoked":   {"link revoked", "Link widerrufen"},

	"mail.dead":     {"mail failed for good", "Mail endgültig fehlgeschlagen"},
	"mail.held":     {"mails held: the server refuses us", "Mails angehalten: Der Mailserver lehnt diese Installation ab"},
	"mail.released": {"mails released", "Mails freigegeben"},
	"mail.requeued": {"mail queued again", "Mail erneut eingereiht"},
	"mail.sent":     {"mail sent", "Mail gesendet"},

	"mails.requeued": {"failed mails queued again", "fehlgeschlagene Mails erneut eingereiht"},

	"passkey.added":   {"passkey added", "Passkey hinzugefügt"},
	"passkey.removed": {"passkey removed", "Passkey entfernt"},

	"receiver.changed": {"receiver changed", "Empfänger geändert"},
	"receiver.created": {"receiver created", "Empfänger angelegt"},
	"receiver.deleted": {"receiver deleted", "Empfänger gelöscht"},

	"rules.changed": {"rules changed", "Regeln geändert"},

	"run.failed":   {"run failed in part", "Lauf teilweise fehlgeschlagen"},
	"run.finished": {"run finished", "Lauf beendet"},
	"run.started":  {"run started", "Lauf begonnen"},

	"scope.answered": {"scoping question answered", "Scoping-Frage beantwortet"},
	"scope.default":  {"default answer changed", "Standardantwort geändert"},

	"scoping-project.created": {"project created", "Projekt angelegt"},

	"session.ended": {"session ended", "Sitzung beendet"},

	"task.completed":  {"task completed", "Aufgabe erledigt"},
	"task.in-process": {"task started", "Aufgabe begonnen"},
	"task.open":       {"task opened again", "Aufgabe wieder geöffnet"},

	"tasks.closed": {"tasks closed by themselves", "Aufgaben automatisch geschlossen"},

	"tenant.changed":       {"tenant changed", "Mandant geändert"},
	"tenant.created":       {"tenant created", "Mandant angelegt"},
	"tenant.imported-into": {"import added to the tenant", "Mandant durch Import ergänzt"},

	"tests.finished": {"tests of receivers finished", "Tests von Empfängern beendet"},
	"tests.started":  {"tests of receivers started", "Tests von Empfängern begonnen"},

	"token.created":  {"token created", "Token erstellt"},
	"token.expiring": {"token expires soon", "Token läuft bald ab"},
	"token.revoked":  {"token revoked", "Token widerrufen"},
	"token.rotated":  {"token rotated", "Token rotiert"},

	"watch-link.created":   {"link to a watched certificate created", "Link zu beobachtetem Zertifikat erstellt"},
	"watch-link.installed": {"watched one reported as installed", "beobachtetes Zertifikat als installiert gemeldet"},
	"watch-link.revoked":   {"link to a watched certificate revoked", "Link zu beobachtetem Zertifikat widerrufen"},

	"watched.added":   {"certificate is watched", "Zertifikat wird beobachtet"},
	"watched.changed": {"watched certificate changed", "beobachtetes Zertifikat geändert"},
	"watched.expired": {"watched certificate has expired", "beobachtetes Zertifikat ist abgelaufen"},
	"watched.overdue": {"expected renewal did not come", "erwartete Erneuerung blieb aus"},
	"watched.removed": {"certificate is no longer watched", "Zertifikat wird nicht mehr beobachtet"},
	"watched.seen":    {"new certificate seen", "neues Zertifikat gesehen"},
	"watched.unseen":  {"source cannot be read", "Quelle nicht lesbar"},
	"watched.warned":  {"warned before the owner renews", "vor der Erneuerung durch den Inhaber gewarnt"},

	"webhook.changed":  {"webhook changed", "Webhook geändert"},
	"webhook.created":  {"webhook created", "Webhook angelegt"},
	"webhook.deleted":  {"webhook deleted", "Webhook gelöscht"},
	"webhook.disabled": {"webhook turned off", "Webhook abgeschaltet"},
	"webhook.replayed": {"webhook delivery repeated", "Webhook-Zustellung wiederholt"},
	"webhook.rotated":  {"secret of a webhook rotated", "Geheimnis eines Webhooks rotiert"},
	"webhook.tested":   {"webhook tested", "Webhook getestet"},
}
