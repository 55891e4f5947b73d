package words

// germanRoom holds the texts about the limits of what people create.
var germanRoom = []translation{
	{
		"%s already has %d receivers or more: delete one that is not needed, or ask an operator to create it",
		"%s hat schon %d Empfänger oder mehr: Löschen Sie einen, der nicht gebraucht wird, oder bitten Sie einen " +
			"Operator, ihn anzulegen",
	},
	{
		"%s already has %d arrangements or more: delete one that is not needed, or ask an operator to create it",
		"%s hat schon %d Vereinbarungen oder mehr: Löschen Sie eine, die nicht gebraucht wird, oder bitten Sie einen " +
			"Operator, sie anzulegen",
	},
	{
		"%s already has %d key users or more: delete one that is not needed, or ask an operator to create it",
		"%s hat schon %d Key-User oder mehr: Löschen Sie einen, der nicht gebraucht wird, oder bitten Sie einen " +
			"Operator, ihn anzulegen",
	},
	{
		"%s already has %d projects or more: use one of them, or ask an operator to create it",
		"%s hat schon %d Projekte oder mehr: Verwenden Sie eines davon, oder bitten Sie einen Operator, es anzulegen",
	},
	{
		"the arrangement %s already has %d valid links or more: revoke one that is not needed",
		"Die Vereinbarung %s hat schon %d gültige Links oder mehr: Widerrufen Sie einen, der nicht gebraucht wird",
	},
	{
		"%s already has %d valid tokens or more: use the latest invitation, or ask an operator to revoke the others",
		"%s hat schon %d gültige Tokens oder mehr: Verwenden Sie die letzte Einladung, oder bitten Sie einen Operator, " +
			"die anderen zu widerrufen",
	},
	{
		"your account already has %d passkeys: remove one first",
		"Ihr Konto hat schon %d Passkeys: Entfernen Sie zuerst einen",
	},
}
