package words

// germanCounterparties holds the texts about counterparties.
var germanCounterparties = []translation{
	{
		"the host %s is not proposed any longer: another operator has accepted or dismissed it",
		"Der Host %s wird nicht mehr vorgeschlagen: Ein anderer Operator hat den Vorschlag akzeptiert oder verworfen",
	},
	{
		"the product of %s was changed a moment ago: try again in %d seconds",
		"Das Produkt von %s wurde gerade eben geändert: Versuchen Sie es in %d Sekunden noch einmal",
	},
	{
		"%d proposed contacts wait for the platform's operators already: ask them",
		"%d vorgeschlagene Kontakte warten schon auf die Operatoren der Plattform: Fragen Sie dort nach",
	},
	{
		"%s has no such contact that an operator has accepted",
		"%s hat keinen solchen Kontakt, den ein Operator akzeptiert hat",
	},
	{
		"%s is not a host name: use one such as pay.bank.example, or .bank.example for every host below it",
		"%s ist kein Hostname: Verwenden Sie einen wie pay.bank.example, oder .bank.example für jeden Host darunter",
	},
	{
		"is missing: the host %s belongs to no counterparty yet, so name one",
		"fehlt: Der Host %s gehört noch zu keiner Gegenpartei, nennen Sie also eine",
	},
	{"the counterparty %s has no page", "Die Gegenpartei %s hat keine Seite"},
	{
		"the counterparty has %d contacts, which is the maximum: remove one first",
		"Die Gegenpartei hat %d Kontakte, mehr sind nicht möglich: Entfernen Sie zuerst einen",
	},
	{
		"the counterparty has a contact with the address %s already",
		"Die Gegenpartei hat schon einen Kontakt mit der Adresse %s",
	},
	{
		"the counterparty %s has a feed already: give it a new address if the present one is lost",
		"Die Gegenpartei %s hat schon einen Feed: Geben Sie ihm eine neue Adresse, wenn die jetzige verloren ist",
	},
	{
		"there is no feed of a counterparty with this arrangement",
		"Es gibt keinen Feed einer Gegenpartei mit dieser Vereinbarung",
	},
	{"the counterparty has no feed: create it first", "Die Gegenpartei hat keinen Feed: Erstellen Sie ihn zuerst"},
	{
		"no arrangement with a client certificate is linked to the counterparty %s: link a receiver first",
		"Mit der Gegenpartei %s ist keine Vereinbarung mit Client-Zertifikat verknüpft: Verknüpfen Sie zuerst einen " +
			"Empfänger",
	},
	{
		"%d arrangements are linked to the counterparty %s: a feed has at most %d",
		"%d Vereinbarungen sind mit der Gegenpartei %s verknüpft: Ein Feed hat höchstens %d",
	},
	{
		"the feed of the counterparty %s changes faster than it can be read: try again later",
		"Der Feed der Gegenpartei %s ändert sich schneller, als er gelesen werden kann: Versuchen Sie es später noch einmal",
	},
	{
		"%s is not about an arrangement: a webhook of a counterparty cannot have it",
		"%s betrifft keine Vereinbarung: Ein Webhook einer Gegenpartei kann es nicht erhalten",
	},
	{"the counterparty has no such contact", "Die Gegenpartei hat keinen solchen Kontakt"},
	{
		"the host %s belongs to another counterparty: remove it there first",
		"Der Host %s gehört zu einer anderen Gegenpartei: Entfernen Sie ihn dort zuerst",
	},
	{"the page of %s has no address: create it first", "Die Seite von %s hat keine Adresse: Erstellen Sie sie zuerst"},
	{
		"the receiver %s of %s is linked to no counterparty",
		"Der Empfänger %s von %s ist mit keiner Gegenpartei verknüpft",
	},
	{"the receiver %s of %s is not linked to %s", "Der Empfänger %s von %s ist nicht mit %s verknüpft"},
	{
		"there are more than %d hosts: use a suffix such as .bank.example",
		"Es sind mehr als %d Hosts: Verwenden Sie ein Suffix wie .bank.example",
	},
	{
		"there is a counterparty %s already: choose another name",
		"Eine Gegenpartei %s gibt es schon: Wählen Sie einen anderen Namen",
	},
	{
		"this service tests no receivers: try again at its main address",
		"Dieser Dienst testet keine Empfänger: Versuchen Sie es an seiner Hauptadresse",
	},
}
