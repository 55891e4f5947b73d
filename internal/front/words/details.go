package words

import "strings"

// Detail returns the label of a detail of an entry of the audit log, in a language. An unknown key, such as one that
// another release writes, stays readable.
func Detail(language, key string) string {
	text, found := details[key]
	switch {
	case !found:
		return strings.ReplaceAll(key, "_", " ")
	case language == German:
		return text.german
	}
	return text.english
}

// DetailCode returns what a code means that is the value of a detail. An unknown code stays as it is.
func DetailCode(language, key, code string) string {
	text, found := detailCodes[key][code]
	switch {
	case !found:
		return code
	case language == German:
		return text.german
	}
	return text.english
}

// details are the labels of the details in entries of the audit log, by their keys. Entries never change: a key that is
// no longer written keeps its label, and is listed in the test.
var details = map[string]translation{
	"about":                {"About", "Betrifft"},
	"accepted":             {"Accepted", "Akzeptiert"},
	"account":              {"Account", "Konto"},
	"address":              {"Address", "Adresse"},
	"adopted":              {"Counts as the watched certificate", "Gilt als das beobachtete Zertifikat"},
	"again":                {"Requested again", "Erneut beantragt"},
	"answer":               {"Answer", "Antwort"},
	"arrangements":         {"Arrangements", "Vereinbarungen"},
	"attempts":             {"Attempts", "Versuche"},
	"authentication":       {"Authentication", "Authentifizierung"},
	"authority":            {"CA", "CA"},
	"backup":               {"Backup", "Sicherung"},
	"certificates":         {"Certificates", "Zertifikate"},
	"choice":               {"Chosen", "Ausgewählt"},
	"code":                 {"Finding", "Befund"},
	"connections":          {"Connections at most", "Verbindungen höchstens"},
	"contact":              {"Contact", "Kontakt"},
	"contact_email":        {"E-mail of the administrator", "E-Mail des Ansprechpartners"},
	"contact_language":     {"Language of mails", "Sprache der Mails"},
	"contact_name":         {"Administrator", "Ansprechpartner"},
	"contact_zone":         {"Time zone of mails", "Zeitzone der Mails"},
	"contacts":             {"Contacts", "Kontakte"},
	"contains":             {"Contains", "Enthält"},
	"content_type":         {"Content type", "Inhaltstyp"},
	"counterparty":         {"Counterparty", "Gegenpartei"},
	"created_at":           {"Created", "Angelegt"},
	"credential":           {"Credential", "Credential"},
	"decided_by":           {"Decided by", "Entschieden durch"},
	"deliveries":           {"Deliveries", "Zustellungen"},
	"detail":               {"Answer", "Antwort"},
	"differs":              {"Differs in", "Unterschiede"},
	"display_name":         {"Display name", "Anzeigename"},
	"egress":               {"Gateway", "Gateway"},
	"enabled":              {"Sends events", "Sendet Ereignisse"},
	"endpoint":             {"Endpoint", "Endpunkt"},
	"entries":              {"Certificates", "Zertifikate"},
	"error":                {"Error", "Fehler"},
	"events":               {"Entries of the log", "Einträge des Protokolls"},
	"expired":              {"Expired", "Abgelaufen"},
	"expires":              {"Expires", "Läuft ab"},
	"expires_at":           {"Expires", "Läuft ab"},
	"failed":               {"Failed certificates", "Fehlgeschlagene Zertifikate"},
	"failures":             {"Failed attempts", "Fehlversuche"},
	"fetched_at":           {"Last fetched", "Zuletzt abgerufen"},
	"fetched_by":           {"Fetched by", "Abgerufen von"},
	"fingerprint_sha256":   {"SHA-256", "SHA-256"},
	"format":               {"Format", "Format"},
	"from":                 {"Before", "Vorher"},
	"generation":           {"Generation", "Generation"},
	"header":               {"Header", "Header"},
	"host":                 {"Host", "Host"},
	"hosting_team":         {"Hosting team notified", "Hosting-Team benachrichtigt"},
	"hosts":                {"Hosts", "Hosts"},
	"how":                  {"With", "Mit"},
	"identifies_by":        {"Receiver checks", "Empfänger prüft"},
	"import":               {"Import", "Import"},
	"issuer":               {"Issuer", "Aussteller"},
	"keep_bytes":           {"Bytes kept for a second attempt", "Bytes für einen zweiten Versuch"},
	"key":                  {"Key", "Schlüssel"},
	"key_type":             {"Key type", "Schlüsseltyp"},
	"key_user":             {"Key user", "Key-User"},
	"key_users":            {"Key users", "Key-User"},
	"link":                 {"Link", "Link"},
	"mail_for_tasks":       {"E-mail for tasks", "E-Mail für Aufgaben"},
	"mails":                {"Mails", "Mails"},
	"mails_administrators": {"Mails administrators", "Schreibt Ansprechpartnern"},
	"max_tls":              {"Highest TLS version", "Höchste TLS-Version"},
	"may_break_delivery":   {"May break delivery", "Kann die Zustellung unterbrechen"},
	"message_id":           {"Message-ID", "Message-ID"},
	"method":               {"Method", "Methode"},
	"name":                 {"Name", "Name"},
	"new":                  {"New tenant", "Neuer Mandant"},
	"new_root":             {"New root", "Neue Root"},
	"not_after":            {"Valid until", "Gültig bis"},
	"of":                   {"Tenant", "Mandant"},
	"origin":               {"Created with", "Angelegt mit"},
	"other":                {"Named instead", "Stattdessen genannt"},
	"outcome":              {"Result", "Ergebnis"},
	"owner":                {"Policy of the owner", "Regelwerk des Inhabers"},
	"park":                 {"Parks every message", "Parkt jede Nachricht"},
	"passkey":              {"Passkey", "Passkey"},
	"path":                 {"Path", "Pfad"},
	"policy":               {"Policy", "Regelwerk"},
	"preset":               {"Product", "Produkt"},
	"probe":                {"Probe", "Testanfrage"},
	"problems":             {"Problems", "Probleme"},
	"product":              {"Product", "Produkt"},
	"program":              {"Program", "Programm"},
	"proxy":                {"Proxy", "Proxy"},
	"reason":               {"Reason", "Grund"},
	"receiver":             {"Receiver", "Empfänger"},
	"receivers":            {"Receivers", "Empfänger"},
	"refusal_rules":        {"Refusal rules", "Ablehnungsregeln"},
	"refusal_statuses":     {"Statuses of refusals", "Status von Ablehnungen"},
	"refused":              {"Refused", "Abgelehnt"},
	"renewal":              {"Renewal expected", "Erneuerung erwartet"},
	"replaces":             {"Replaces", "Ersetzt"},
	"request":              {"Request", "Antrag"},
	"resealed":             {"Keys sealed again", "Neu versiegelte Schlüssel"},
	"role":                 {"Role", "Rolle"},
	"round":                {"Tests", "Tests"},
	"rows":                 {"Rows", "Zeilen"},
	"run_date":             {"Run", "Lauf"},
	"san":                  {"Subject alternative name", "Subject Alternative Name"},
	"scenario":             {"Scenario", "Szenario"},
	"sequence":             {"Version of the feed", "Version des Feeds"},
	"serial":               {"Serial number", "Seriennummer"},
	"server_ca":            {"CA of the receiver", "CA des Empfängers"},
	"server_key_pin":       {"Pinned key of the receiver", "Fester Schlüssel des Empfängers"},
	"sha256":               {"SHA-256", "SHA-256"},
	"signs_from":           {"Signs from", "Signiert ab"},
	"since":                {"Since", "Seit"},
	"skipped":              {"Not asked", "Nicht getestet"},
	"source":               {"Source", "Quelle"},
	"stage_days":           {"Reminder at days left", "Erinnerung bei verbleibenden Tagen"},
	"status":               {"Status", "Status"},
	"statuses":             {"Statuses", "Status"},
	"strategy":             {"Strategy", "Strategie"},
	"subject":              {"Subject", "Subject"},
	"successor":            {"Successor", "Nachfolger"},
	"surprises":            {"Not expected", "Nicht erwartet"},
	"system":               {"System", "System"},
	"tasks":                {"Tasks", "Aufgaben"},
	"tenant_id":            {"Tenant", "Mandant"},
	"tenants":              {"Tenants", "Mandanten"},
	"tests":                {"Tests", "Tests"},
	"text":                 {"Text", "Text"},
	"timeout_seconds":      {"Timeout in seconds", "Zeitlimit in Sekunden"},
	"to":                   {"Now", "Jetzt"},
	"types":                {"Events", "Ereignisse"},
	"unclear":              {"Unclear", "Unklar"},
	"until":                {"Until", "Bis"},
	"user":                 {"Key user", "Key-User"},
	"validity_seconds":     {"Validity", "Gültigkeit"},
	"why":                  {"Reason", "Grund"},
}

// detailCodes are the meanings of codes in the details of entries of the audit log, by the keys of the details. Codes
// that pages of the console show have their texts there.
var detailCodes = map[string]map[string]translation{
	"about": {
		"administrator-expiring": {"certificates will be renewed", "Zertifikate werden erneuert"},
		"administrator-renewed":  {"certificates were renewed", "Zertifikate wurden erneuert"},
		"administrator-unready":  {"receivers are at risk", "Empfänger sind gefährdet"},
		"administrator-done":     {"all receivers are ready", "alle Empfänger sind bereit"},
		"administrator-retired":  {"old certificates are no longer used", "alte Zertifikate werden nicht mehr verwendet"},
		"administrator-stopped":  {"mails were stopped", "Mails wurden beendet"},
	},
	"answer": yesNo, "mail_for_tasks": yesNo,
	"authentication": {
		"client-certificate": {"client certificate", "Client-Zertifikat"},
		"basic":              {"user and password", "Benutzer und Passwort"},
		"none":               {"none", "keine"},
	},
	"code": {
		"pinned": {"it is a known certificate of the partner", "es ist ein bekanntes Zertifikat des Partners"},
		"successor": {"it succeeds a known certificate of the partner",
			"es folgt einem bekannten Zertifikat des Partners"},
		"authority": {"the partner's CA has issued it to the partner",
			"die CA des Partners hat es dem Partner ausgestellt"},
		"other-ca":        {"another CA has issued it", "eine andere CA hat es ausgestellt"},
		"other-subject":   {"it has another subject", "es hat ein anderes Subject"},
		"older":           {"it is not newer than the known one", "es ist nicht neuer als das bekannte"},
		"expired":         {"it has expired", "es ist abgelaufen"},
		"not-yet-valid":   {"it is not valid yet", "es ist noch nicht gültig"},
		"not-for-clients": {"it is not for clients", "es ist nicht für Clients bestimmt"},
		"weak-key":        {"its key is too weak", "sein Schlüssel ist zu schwach"},
		"outside-window": {"it was issued outside the window of a renewal",
			"es wurde außerhalb des Zeitraums einer Erneuerung ausgestellt"},
		"second-successor": {"the known certificate has another successor already",
			"es gibt schon einen anderen Nachfolger des bekannten Zertifikats"},
		"revoked":      {"it is revoked", "es ist widerrufen"},
		"broken-chain": {"its chain leads to no trusted CA", "seine Kette führt zu keiner CA, der vertraut wird"},
		"not-listed":   {"it is not listed", "es steht nicht in der Liste"},
		"declined":     {"it was refused", "es wurde abgelehnt"},
		"malformed":    {"it cannot be read", "es kann nicht gelesen werden"},
		"ambiguous": {"the partner could not be distinguished from another one",
			"der Partner wäre von einem anderen nicht zu unterscheiden"},
	},
	"decided_by": {
		"rule": {"rule", "Regel"},
		"feed": {"feed", "Feed"},
	},
	"differs": {
		"issuer":                   {"issuing CA", "ausstellende CA"},
		"subject":                  {"subject", "Subject"},
		"key type":                 {"key type", "Schlüsseltyp"},
		"subject alternative name": {"subject alternative name", "Subject Alternative Name"},
		"extended key usage":       {"extended key usage", "erweiterte Schlüsselverwendung"},
	},
	"from": inFile, "to": inFile,
	"how": {
		"password": {"password", "Passwort"},
		"passkey":  {"passkey", "Passkey"},
		"token":    {"token", "Token"},
		"oidc":     {"company sign-in", "Anmeldung beim Unternehmen"},
	},
	"kind": {
		"folder": {"folder", "Ordner"},
		"url":    {"URL", "URL"},
		"server": {"TLS server", "TLS-Server"},
	},
	"outcome": {
		"delivered": {"delivered", "zugestellt"},
	},
	"reason": {
		"accepted":          {"every receiver accepts the new one", "jeder Empfänger akzeptiert das neue"},
		"answered":          {"the CA has answered", "die CA hat geantwortet"},
		"authority-revoked": {"the CA was revoked", "die CA wurde widerrufen"},
		"compromised":       {"the key is compromised", "der Schlüssel ist kompromittiert"},
		"lost":              {"the key is lost", "der Schlüssel ist verloren"},
		"reissue":           {"issued again", "neu ausgestellt"},
		"renewed":           {"the certificate was renewed", "das Zertifikat wurde erneuert"},
		"revoked":           {"the certificate was revoked", "das Zertifikat wurde widerrufen"},
		"suggested":         {"the CA suggests it", "die CA schlägt es vor"},
		"superseded":        {"superseded", "ersetzt"},
	},
}

var (
	yesNo  = map[string]translation{"yes": {"yes", "ja"}, "no": {"no", "nein"}}
	inFile = map[string]translation{"file": {"in the key file", "in der Schlüsseldatei"}, "on": {"on", "an"},
		"off": {"off", "aus"}, "sealed": {"sealed in the database", "in der Datenbank versiegelt"}}
)
