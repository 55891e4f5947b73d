package gateway

import (
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
)

func TestAGatewayLinksNeitherTheEngineNorADatabase(t *testing.T) {
	testenv.Links(t, ".", "internal/egress/gateway", "internal/egress/outbound", "internal/egress/workload",
		"internal/engine/standing", "internal/keys/certfile", "internal/keys/givenup",
		"internal/redact", "rollover", "tenancy")
}
