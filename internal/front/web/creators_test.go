package web

import (
	"testing"

	"github.com/perennial-pki/perennial/internal/engine/links"
)

func TestCreatorsOfMailedLinksAreInTheLanguageOfTheReader(t *testing.T) {
	v := &view{lang: "de"}
	for _, by := range []string{links.ToAdministrator, links.ToKeyUsers} {
		if got := v.actor(by); got == by {
			t.Errorf("%q is not translated", by)
		}
	}
}
