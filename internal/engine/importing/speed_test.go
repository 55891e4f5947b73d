package importing

import (
	"fmt"
	"strings"
	"testing"

	"github.com/perennial-pki/perennial/internal/testing/testenv"
	"github.com/perennial-pki/perennial/tenancy"
)

// BenchmarkImport imports 2,000 tenants with three people and an arrangement each. Their certificates are issued.
func BenchmarkImport(b *testing.B) {
	for _, engine := range []string{"sqlite", "postgres"} {
		b.Run(engine, func(b *testing.B) {
			const tenants = 2000
			for round := range b.N {
				url := "sqlite:" + b.TempDir() + "/p.db"
				if engine == "postgres" {
					url = testenv.Postgres(b)
				}
				m, _ := world(b, url)
				var f Files
				var names, people, arrangements strings.Builder
				for n := range tenants {
					t := fmt.Sprintf("t%d-%d", round, n)
					fmt.Fprintln(&names, t)
					for _, p := range []string{"alice", "bob"} {
						fmt.Fprintf(&people, "%s,key-user,%s,%[2]s@example.com,yes\n", t, p)
					}
					fmt.Fprintf(&people, "%s,it-contact,Ina,ina@example.com,\n", t)
					fmt.Fprintf(&arrangements, "%s,orders,erp,https://erp.example.com\n", t)
				}
				f.Tenants = "name\n" + names.String()
				f.People = "tenant,role,name,email,subscribed\n" + people.String()
				f.Arrangements = "tenant,name,receiver,endpoint\n" + arrangements.String()
				b.ResetTimer()
				i, err := m.Check(b.Context(), f, "bench")
				check(b, err)
				checked := b.Elapsed()
				m.move(b, i.ID, tenancy.ImportChecked, tenancy.ImportApplying)
				check(b, m.Work(b.Context(), i.ID))
				b.ReportMetric(tenants/checked.Seconds(), "checked/s")
				b.ReportMetric(tenants/(b.Elapsed()-checked).Seconds(), "applied/s")
			}
		})
	}
}
