package web

// germanFeeds holds the German texts about feeds.
var germanFeeds = []translation{
	{"Feeds of arrangements", "Feeds von Vereinbarungen"},
	{"Feeds of counterparties", "Feeds von Gegenparteien"},
	{
		"This arrangement needs a feed of its own only for another program.",
		"Einen eigenen Feed braucht diese Vereinbarung nur für ein anderes Programm.",
	},
	{
		"A receiver that follows a feed fetches each new certificate before it is used, and need not be changed by " +
			"hand. Create the feed and give its address to the receiver's administrator.",
		"Ein Empfänger, der einem Feed folgt, ruft jedes neue Zertifikat ab, bevor es verwendet wird, und muss nicht " +
			"von Hand geändert werden. Erstellen Sie den Feed, und geben Sie seine Adresse dem Ansprechpartner des " +
			"Empfängers.",
	},
	{"Address for %s, shown only once:", "Adresse für %s (wird nur einmal angezeigt):"},
	{"Could not create the address", "Die Adresse konnte nicht erstellt werden"},
	{"Address of the feed for %s, shown only once:", "Adresse des Feeds für %s (wird nur einmal angezeigt):"},
	{"Create feed", "Feed erstellen"},
	{"Install them automatically", "Automatisch installieren"},
	{
		"It lists the certificates of all tenants that are used now and next. Whoever has the address can read them and " +
			"report them as installed. On the system that checks certificates, set it as PERENNIAL_FEED and run, for " +
			"example for nginx:",
		"Er enthält die Zertifikate aller Mandanten, die jetzt und als Nächstes verwendet werden. Wer die Adresse hat, " +
			"kann sie lesen und als installiert melden. Setzen Sie sie auf dem System, das Zertifikate prüft, als " +
			"PERENNIAL_FEED, und starten Sie, zum Beispiel für nginx:",
	},
	{
		"The address was shown only once. If it is lost, ask the operators of the platform for a new one.",
		"Die Adresse wurde nur einmal angezeigt. Wenn sie verloren ist, bitten Sie die Operatoren der Plattform um eine " +
			"neue.",
	},
	{
		"The receivers may miss the next certificates. Check whether the program that follows the feed still runs.",
		"Die Empfänger verpassen vielleicht die nächsten Zertifikate. Prüfen Sie, ob das Programm noch läuft, das dem Feed " +
			"folgt.",
	},
	{"Tenants in the feed: %s.", "Mandanten im Feed: %s."},
	{
		"With a feed, one program fetches the certificates of all tenants before they are used, and writes them where the " +
			"systems read them. No certificate is installed by hand.",
		"Mit einem Feed holt ein Programm die Zertifikate aller Mandanten, bevor sie verwendet werden, und schreibt sie " +
			"dorthin, wo die Systeme sie lesen. Kein Zertifikat wird von Hand installiert.",
	},
	{"by %s", "von %s"},
	{
		"The feed keeps its address, which was created by %s. Give it a new one too if someone else may have the address " +
			"of the page.",
		"Der Feed behält seine Adresse, erstellt von %s. Geben Sie auch ihm eine neue, wenn jemand anderes die Adresse der " +
			"Seite haben könnte.",
	},
	{
		"%s has one feed for all tenants, with this arrangement, and has not fetched it for more than 7 days.",
		"%s hat einen Feed für alle Mandanten, auch mit dieser Vereinbarung, und hat ihn seit mehr als 7 Tagen nicht " +
			"abgerufen.",
	},
	{
		"%s follows one feed for all tenants, with this arrangement. Generation %d was reported as installed.",
		"%s folgt einem Feed für alle Mandanten, auch mit dieser Vereinbarung. Generation %d wurde als installiert gemeldet.",
	},
	{
		"%s follows one feed for all tenants, with this arrangement. Generation %d was fetched.",
		"%s folgt einem Feed für alle Mandanten, auch mit dieser Vereinbarung. Generation %d wurde abgerufen.",
	},
	{
		"%s has one feed for all tenants, with this arrangement. It was not fetched yet.",
		"%s hat einen Feed für alle Mandanten, auch mit dieser Vereinbarung. Er wurde noch nicht abgerufen.",
	},
	{
		"Events of the arrangements that are linked to this counterparty now, and of the certificates that they " +
			"present. The events name the tenant.",
		"Ereignisse der Vereinbarungen, die jetzt mit dieser Gegenpartei verknüpft sind, und der Zertifikate, die sie " +
			"vorlegen. Die Ereignisse nennen den Mandanten.",
	},
	{
		"Events of these tenants can be sent to a chat, alerting, tickets or a program of the counterparty.",
		"Ereignisse dieser Mandanten können an einen Chat, eine Alarmierung, Tickets oder ein Programm der Gegenpartei " +
			"gehen.",
	},
	{"Show the webhooks", "Webhooks anzeigen"},
	{
		"Every feed that was ever fetched was fetched within the last 7 days.",
		"Jeder Feed, der je abgerufen wurde, wurde in den letzten 7 Tagen abgerufen.",
	},
	{"Feed", "Feed"},
	{
		"It lists the certificates that are used now and next, for as long as the arrangement exists. Whoever has the " +
			"address can read them.",
		"Sie führt zu den Zertifikaten, die jetzt und als Nächstes verwendet werden, solange die Vereinbarung besteht. " +
			"Wer die Adresse hat, kann sie lesen.",
	},
	{"Last fetched", "Zuletzt abgerufen"},
	{"New address", "Neue Adresse"},
	{"Not fetched for more than 7 days", "Seit mehr als 7 Tagen nicht abgerufen"},
	{"Program", "Programm"},
	{"Revoke feed", "Feed widerrufen"},
	{"Silent feeds", "Stumme Feeds"},
	{
		"The feed has been revoked. Receivers that follow it keep the certificates that they have.",
		"Der Feed wurde widerrufen. Empfänger, die ihm folgen, behalten die Zertifikate, die sie haben.",
	},
	{
		"The receiver may miss the next certificate. Ask its administrator whether the program that follows the feed " +
			"still runs.",
		"Der Empfänger könnte das nächste Zertifikat verpassen. Fragen Sie seinen Ansprechpartner, ob das Programm noch " +
			"läuft, das dem Feed folgt.",
	},
	{
		"These are claims. Messages or a test prove that the receiver accepts a certificate.",
		"Das sind Angaben. Nachrichten oder ein Test beweisen, dass der Empfänger ein Zertifikat akzeptiert.",
	},
	{
		"These feeds were fetched before, but not within the last 7 days. Their receivers may miss the next " +
			"certificate. Ask the administrator whether the program that follows the feed still runs, or revoke the feed " +
			"if it is no longer needed.",
		"Diese Feeds wurden früher abgerufen, aber nicht in den letzten 7 Tagen. Ihre Empfänger könnten das nächste " +
			"Zertifikat verpassen. Fragen Sie den Ansprechpartner, ob das Programm noch läuft, das dem Feed folgt, oder " +
			"widerrufen Sie den Feed, wenn er nicht mehr gebraucht wird.",
	},
	{"generation %d by %s", "Generation %d durch %s"},
}
