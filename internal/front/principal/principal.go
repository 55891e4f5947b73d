// Package principal carries the caller of an API request in the request's context.
//
// A context cannot come from outside the process. The API sets the caller after it has checked a token, and the console
// sets it for the account that is signed in.
package principal

import (
	"context"

	"github.com/perennial-pki/perennial/tenancy"
)

type key struct{}

// With returns a context in which requests act with the rights of the token.
func With(ctx context.Context, t tenancy.Token) context.Context {
	return context.WithValue(ctx, key{}, t)
}

// Of returns the caller of a request. The role is empty if there is none.
func Of(ctx context.Context) tenancy.Token {
	t, _ := ctx.Value(key{}).(tenancy.Token)
	return t
}
