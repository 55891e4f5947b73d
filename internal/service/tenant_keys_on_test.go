//go:build pkcs11

package service

import (
	"os"
	"testing"
	"time"

	"github.com/ThalesGroup/crypto11"

	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/internal/testing/softhsmtest"
	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/internal/testing/tpmtest"
)

func TestKeysOfTenantsMoveIntoARealTokenWhileMessagesFlow(t *testing.T) {
	softhsmtest.Start(t)
	moveIntoRealToken(t, softhsmtest.URI, &crypto11.Config{TokenLabel: softhsmtest.Label, Pin: softhsmtest.PIN})
}

func TestKeysOfTenantsMoveIntoARealTPMWhileMessagesFlow(t *testing.T) {
	tpmtest.Start(t)
	moveIntoRealToken(t, tpmtest.URI, &crypto11.Config{TokenLabel: tpmtest.Label, Pin: tpmtest.PIN})
}

func moveIntoRealToken(t *testing.T, uri string, config *crypto11.Config) {
	t.Helper()
	config.Path = os.Getenv("PERENNIAL_PKCS11_MODULE")
	tenantKeysMove(t, held{kms.Tokens(), uri, func(t *testing.T, set Settings, to string) {
		changes, err := ChangeRules(t.Context(), set.Database.URL, Certificates{TenantKeys: to}, Apply, time.Now())
		if err != nil || len(changes) != 1 {
			t.Errorf("%+v, %v", changes, err)
		}
	}, func(t *testing.T) (labels []string) {
		token, err := crypto11.Configure(config)
		testenv.Check(t, err)
		defer token.Close()
		pairs, err := token.FindAllKeyPairs()
		testenv.Check(t, err)
		for _, pair := range pairs {
			label, err := token.GetAttribute(pair, crypto11.CkaLabel)
			testenv.Check(t, err)
			labels = append(labels, string(label.Value))
		}
		return labels
	}})
}
