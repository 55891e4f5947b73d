package main

import "github.com/perennial-pki/perennial/internal/front/api"

type openapiCmd struct{}

// Run prints the same document for every build, so that it changes only with the API.
func (openapiCmd) Run(e env) error {
	doc, err := api.OpenAPI("v1")
	if err != nil {
		return err
	}
	_, err = e.out.Write(doc)
	return err
}
