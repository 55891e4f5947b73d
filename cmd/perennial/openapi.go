package main

import "github.com/perennial-pki/perennial/internal/front/api"

type openapiCmd struct{}

// Run prints the same document whatever the build, so that a change of it is a change of the API.
func (openapiCmd) Run(e env) error {
	doc, err := api.OpenAPI("v1")
	if err != nil {
		return err
	}
	_, err = e.out.Write(doc)
	return err
}
