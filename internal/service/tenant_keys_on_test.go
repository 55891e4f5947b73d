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
)

func TestKeysOfTenantsMoveIntoARealTokenWhileMessagesFlow(t *testing.T) {
	softhsmtest.Start(t)
	token, err := crypto11.Configure(&crypto11.Config{Path: os.Getenv("PERENNIAL_PKCS11_MODULE"),
		TokenLabel: softhsmtest.Label, Pin: softhsmtest.PIN})
	testenv.Check(t, err)
	t.Cleanup(func() { token.Close() })
	tenantKeysMove(t, held{kms.Tokens(), softhsmtest.URI, func(t *testing.T, set Settings, to string) {
		changes, err := ChangeRules(t.Context(), set.Database.URL, Certificates{TenantKeys: to}, Apply, time.Now())
		if err != nil || len(changes) != 1 {
			t.Errorf("%+v, %v", changes, err)
		}
	}, func(t *testing.T) (labels []string) {
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
