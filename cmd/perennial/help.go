package main

import (
	"fmt"
	"slices"

	"github.com/alecthomas/kong"
)

// printHelp prints the help of a command. If the command has a default subcommand, it takes the flags of that too, so
// the help of the subcommand follows.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	command := ctx.Selected()
	if options.Summary || command == nil || command.DefaultCmd == nil {
		return nil
	}
	if _, err := fmt.Fprintf(ctx.Stdout, "\nWithout a command, %s is the default.\n\n",
		command.DefaultCmd.Name); err != nil {
		return err
	}
	byDefault := *ctx
	byDefault.Path = append(slices.Clone(ctx.Path), &kong.Path{Parent: command, Command: command.DefaultCmd,
		Flags: command.DefaultCmd.Flags})
	return kong.DefaultHelpPrinter(options, &byDefault)
}
