package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/perennial-pki/perennial/client"
)

// fieldTag is the struct tag of a flag or an argument that names the fields of the API that it sets, separated by
// commas: `field:"egress.max_tls"`. A field with the name of the flag or the argument needs no tag.
const fieldTag = "field"

// An explained error is an answer of the service in the words of the command line.
type explained struct {
	error
	text string
}

func (e *explained) Error() string { return e.text }
func (e *explained) Unwrap() error { return e.error }

// inOwnWords returns an error of a command with its flags and arguments in place of the fields of the API, and with the
// address and the next step if the token was refused.
func inOwnWords(ctx *kong.Context, err error) error {
	text := err.Error()
	answersIn(err, func(answer *client.Error) {
		own := *answer
		own.Fields = slices.Clone(answer.Fields)
		for i, f := range own.Fields {
			if v := valueOf(ctx, f.Field); v != nil {
				own.Fields[i].Field = v.ShortSummary()
				if rest, ok := strings.CutPrefix(own.Detail, f.Field+": "); ok {
					own.Detail = own.Fields[i].Field + ": " + rest
				}
			}
		}
		said := own.Error()
		if own.Status == http.StatusUnauthorized {
			said = fmt.Sprintf("%s refuses the token: %s. Set PERENNIAL_TOKEN to a valid token of this service. An operator "+
				"creates one: perennial token create NAME --role ROLE. If no operator has a valid token, add --database URL on "+
				"the host of the service", own.URL, said)
		}
		text = strings.Replace(text, answer.Error(), said, 1)
	})
	if text == err.Error() {
		return err
	}
	return &explained{err, text}
}

// answersIn calls do for every answer of the service in a tree of errors.
func answersIn(err error, do func(*client.Error)) {
	switch e := err.(type) {
	case *client.Error:
		do(e)
	case interface{ Unwrap() error }:
		answersIn(e.Unwrap(), do)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			answersIn(one, do)
		}
	}
}

// valueOf returns the flag or argument of the command that sets a field of the API, such as "egress.max_tls",
// "path.generation" or "body[0].email". Of several, it is the one that was given. It is nil if there is none.
func valueOf(ctx *kong.Context, field string) *kong.Value {
	field = strings.TrimPrefix(strings.TrimPrefix(field, "path."), "query.")
	var values []*kong.Value
	for _, p := range ctx.Path {
		if p.Flag != nil && !p.Resolved {
			values = append(values, p.Flag.Value)
		}
	}
	command := ctx.Selected()
	values = append(values, command.Positional...)
	for _, f := range command.Flags {
		values = append(values, f.Value)
	}
	var found *kong.Value
	longest := 0
	for _, v := range values {
		if n := sets(v, field); n > longest {
			found, longest = v, n
		}
	}
	return found
}

// sets returns how much of the name of a field a flag or an argument claims: 0 if it does not set the field. A tag
// claims more than the name.
func sets(v *kong.Value, field string) (longest int) {
	claims := func(name string) bool {
		rest, ok := strings.CutPrefix(field, name)
		return ok && name != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
	}
	for name := range strings.SplitSeq(v.Tag.Get(fieldTag), ",") {
		if claims(name) {
			longest = max(longest, len(name)+1)
		}
	}
	if name := strings.ReplaceAll(v.Name, "-", "_"); longest == 0 && claims(name) {
		return len(name)
	}
	return longest
}

// slashHint completes an error in a command line whose tenant and name were written as TENANT NAME instead of
// TENANT/NAME, or the other way round. It is empty for other errors.
func slashHint(err error) string {
	parsed := (*kong.ParseError)(nil)
	if !errors.As(err, &parsed) || parsed.Context.Selected() == nil {
		return ""
	}
	ctx := parsed.Context
	for i, v := range ctx.Selected().Positional {
		given, next := argument(ctx, v)
		tenant, name, slash := strings.Cut(given, "/")
		switch {
		case given == "":
		case strings.Contains(v.Name, "/") && !slash && next != "":
			return fmt.Sprintf(": write %s with a slash: %s/%s", v.ShortSummary(), given, next)
		case v.Name == "tenant" && slash && i+1 < len(ctx.Selected().Positional):
			return fmt.Sprintf(": write <tenant> <%s> with a space: %s %s", ctx.Selected().Positional[i+1].Name, tenant, name)
		}
	}
	return ""
}

// argument returns the value of an argument, and the word of the command line after it. Both are empty if they are not
// given.
func argument(ctx *kong.Context, v *kong.Value) (given, next string) {
	for _, p := range ctx.Path {
		if p.Positional == v {
			if rest := p.Remainder(); len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
				next = rest[0]
			}
			return fmt.Sprint(ctx.Value(p)), next
		}
	}
	return "", ""
}
