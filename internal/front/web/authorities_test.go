package web_test

import (
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/testing/roottest"
)

func TestAnOperatorInstallsAnIssuingCABelowARootElsewhere(t *testing.T) {
	c := openOwn(t)
	olga := c.signIn("olga")
	status, csr := c.post(olga, "/authorities/request")
	block, _ := pem.Decode([]byte(csr))
	if status != http.StatusOK || block == nil || block.Type != "CERTIFICATE REQUEST" {
		t.Fatalf("the request: %d %.200s", status, csr)
	}
	if _, page := c.post(olga, "/authorities/install", "chain", csr); strings.Contains(page, "has been announced") ||
		!strings.Contains(page, "but no certificate") {
		t.Errorf("a request instead of a chain: %.300s", page)
	}
	now := time.Now()
	chain := roottest.New(t, now)(block.Bytes, now, now.AddDate(10, 0, 0))
	if _, page := c.post(olga, "/authorities/install", "chain", string(chain)); !strings.Contains(page,
		"has been announced. It signs from ") {
		t.Errorf("the chain: %s", page)
	}
	if _, page := c.get(olga, "/authorities"); !strings.Contains(page, "Announced") {
		t.Error("the new CA is not in the list")
	}
}
