package main

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/perennial-pki/perennial/client"
)

type findCmd struct {
	remote
	Query  []string `arg:"" name:"text" field:"q" help:"The beginning of a name or of an e-mail address, words of a display name, TENANT/ARRANGEMENT, a serial number in any notation, or at least the first 8 digits of a SHA-256."`
	Tenant string   `placeholder:"NAME" help:"Search in this tenant only. A key user's token needs it."`
	Limit  count    `default:"10" least:"1" help:"Most results of each kind, at most 50."`
}

func (c *findCmd) Run(e env) error {
	path := "/find"
	if c.Tenant != "" {
		path = in(c.Tenant, "find")
	}
	text := strings.Join(c.Query, " ")
	found, err := get[client.Findings](&c.remote, fmt.Sprintf("%s?q=%s&limit=%d", path, url.QueryEscape(text), c.Limit))
	if err != nil {
		return err
	}
	switch {
	case c.Output == "json":
		return writeJSON(e.out, found)
	case len(found.Items) == 0:
		_, err := fmt.Fprintf(e.out, "Nothing begins with %s. %s\n", printable(text), "A serial number must be "+
			"complete, and a SHA-256 needs at least its first 8 digits.")
		return err
	}
	err = table(e.out, "KIND\tTENANT\tNAME\tDETAIL", func(row func(...any)) {
		for _, f := range found.Items {
			name, detail := f.Name, f.Detail
			if f.Kind == "certificate" {
				name, detail = fmt.Sprintf("%s, generation %d", f.Name, f.Generation), "serial number "+f.Serial
			}
			row(f.Kind, f.Tenant, name, detail)
		}
	})
	if err == nil && found.More {
		_, err = fmt.Fprintln(e.out, "\nThere are more: search for a longer text, or use --limit.")
	}
	return err
}
