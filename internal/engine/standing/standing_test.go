package standing

import (
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestTheExchangedValuesDependOnTheVocabularyAlone(t *testing.T) {
	testenv.Links(t, ".",
		"internal/engine/standing", "rollover", "tenancy")
}
