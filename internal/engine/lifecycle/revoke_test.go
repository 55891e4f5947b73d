package lifecycle

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// A revoking is a tenant whose arrangement with erp rolls over to a second generation.
type revoking struct {
	*fixture
	acme tenancy.Tenant
	erp  tenancy.Arrangement
}

func revokingWith(t *testing.T, s tenancy.Strategy) *revoking {
	w := &revoking{fixture: sqlite(t, "perennial", date("2026-01-15"))}
	w.acme = w.tenant("acme", date("2026-01-15"))
	w.erp = w.arrangement(w.acme, "erp", s)
	w.sees(w.erp, 1, rollover.Accepted, rollover.Traffic, date("2026-02-01"))
	_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "alice", date("2026-06-01"))
	check(t, err)
	return w
}

// revoked fails unless exactly these generations are revoked, with an event each.
func (w *revoking) revoked(want ...int) {
	w.t.Helper()
	all, err := w.store.Certificates(w.t.Context(), w.acme.ID, "", 10)
	check(w.t, err)
	var got []int
	for _, c := range all {
		if c.Purpose == tenancy.ForTenant && c.State == tenancy.Revoked {
			got = append(got, c.Generation)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		w.t.Errorf("generations %v are revoked, want %v", got, want)
	}
	w.eventsOf("certificate.revoked", len(want))
}

// compromised renews the certificate and revokes every earlier generation.
func (w *revoking) compromised(at time.Time) error {
	_, err := w.RenewByHand(w.t.Context(), "acme", tenancy.ForTenant, Compromised, "olga", at)
	return err
}

// presents fails unless messages at now use these generations in this order.
func (w *revoking) presents(now time.Time, order ...int) {
	w.t.Helper()
	if got := w.standing(w.acme, "erp").Rollover; got.Presents != order[0] || !slices.Equal(got.Order(now), order) {
		w.t.Errorf("generation %d is presented, and %v are tried, want %v", got.Presents, got.Order(now), order)
	}
}

func TestTheNewestGenerationIsRevokedAloneAndRenewed(t *testing.T) {
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		w := revokingWith(t, s)
		at := date("2026-06-02")
		c, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 2, Compromised, "olga", at)
		check(t, err)
		if c.Generation != 3 {
			t.Errorf("%s: the newest is generation %d", s, c.Generation)
		}
		w.revoked(2)
		if s == tenancy.Immediate {
			w.presents(at, 1)
		} else {
			w.presents(at, 1, 3)
		}
	}
}

// The receiver accepts the first generation, so messages do not depend on it accepting the third.
func TestAnArrangementReturnsToTheGenerationThatItsReceiverAccepts(t *testing.T) {
	w := revokingWith(t, tenancy.Adaptive)
	w.sees(w.erp, 2, rollover.Accepted, rollover.Traffic, date("2026-07-01"))
	at := date("2026-07-02")
	w.presents(at, 2, 1)
	_, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 2, Lost, "olga", at)
	check(t, err)
	w.presents(at, 1, 3)
	w.revoked(2)
}

func TestAReplacedGenerationIsRevokedAloneAndLeftAtOnce(t *testing.T) {
	for _, s := range []tenancy.Strategy{tenancy.Immediate, tenancy.Confirmed, tenancy.Adaptive, tenancy.Manual} {
		w := revokingWith(t, s)
		mails, tasks := len(w.mailed(w.acme)), len(w.tasks(w.acme))
		at := date("2026-06-02")
		c, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 1, Compromised, "olga", at)
		check(t, err)
		if newest := w.newest(w.acme, tenancy.ForTenant); c.Generation != 2 || newest.Generation != 2 {
			t.Errorf("%s: generation %d is returned, and generation %d is the newest", s, c.Generation, newest.Generation)
		}
		w.revoked(1)
		w.presents(at, 2)
		w.eventsOf("arrangement.cut-over", 1)
		if state := w.standing(w.acme, "erp").Rollover.State(at); state != rollover.CutOver {
			t.Errorf("%s: the roll-over is %s, although the receiver may refuse every message", s, state)
		}
		// Each of the key users has a task, those who subscribed have a mail, and the task is due at once.
		all := w.tasks(w.acme)
		if len(w.mailed(w.acme)) <= mails || len(all) != tasks+3 {
			t.Errorf("%s: %d mails and %d tasks, and %d and %d before", s, len(w.mailed(w.acme)), len(all), mails, tasks)
		}
		if !slices.ContainsFunc(all, func(v tenancy.Task) bool { return v.DueAt.Equal(at) && v.Reason == Compromised }) {
			t.Errorf("%s: no task is due at once", s)
		}
	}
}

// A person has one task about a roll-over: that of the renewal asks to keep the certificate, or to install it.
func TestARevocationClosesTheTasksThatItSupersedes(t *testing.T) {
	revoke := func(generation int) func(w *revoking, at time.Time) error {
		return func(w *revoking, at time.Time) error {
			_, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, generation, Lost, "olga", at)
			return err
		}
	}
	for what, c := range map[string]struct {
		act       func(w *revoking, at time.Time) error
		down      bool
		open, old int // tasks of alice
	}{
		"the old one":  {revoke(1), false, 1, 1},
		"the new one":  {revoke(2), false, 1, 1},
		"every one":    {func(w *revoking, at time.Time) error { return w.compromised(at) }, false, 1, 1},
		"without a CA": {revoke(2), true, 0, 1},
		"one after another": {func(w *revoking, at time.Time) error { // each must be removed
			return errors.Join(revoke(1)(w, at), revoke(2)(w, at))
		}, false, 2, 1},
	} {
		w := revokingWith(t, tenancy.Adaptive)
		at := date("2026-06-02")
		w.fixture.down["acme"] = c.down
		if err := c.act(w, at); (err != nil) != c.down {
			t.Fatalf("%s: %v", what, err)
		}
		open, closed := 0, 0
		for _, task := range w.tasks(w.acme) {
			switch {
			case task.KeyUser != "alice":
			case task.State == tenancy.TaskOpen:
				open++
			case task.ClosedFor == tenancy.ClosedRevoked && task.CompletedAt.Equal(at):
				closed++
			default:
				t.Errorf("%s: a task is closed, because it is %s", what, task.ClosedFor)
			}
		}
		if open != c.open || closed != c.old {
			t.Errorf("%s: %d open tasks and %d closed ones, want %d and %d", what, open, closed, c.open, c.old)
		}
		w.eventsOf("tasks.closed", 1)
	}
}

// Its key was destroyed, but a copy of it may have been stolen before.
func TestARetiredGenerationCanBeRevoked(t *testing.T) {
	w := revokingWith(t, tenancy.Adaptive)
	for range 2 {
		w.sees(w.erp, 2, rollover.Accepted, rollover.Traffic, date("2026-07-01"))
	}
	settled := date("2026-07-01").Add(29 * policy.Day)
	check(t, w.Tick(t.Context(), settled))
	if c, err := w.store.Certificate(t.Context(), w.acme.ID, tenancy.ForTenant, 1); c.State != tenancy.Retired {
		t.Fatalf("generation 1 is %s, %v", c.State, err)
	}
	_, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 1, Compromised, "olga", settled)
	check(t, err)
	w.revoked(1)
	w.presents(settled, 2)
	if got := w.standing(w.acme, "erp").Rollover; got.State(settled) != rollover.Settled {
		t.Errorf("the roll-over is %s again", got.State(settled))
	}
}

// An arrangement begins with the newest generation, so it has never presented the revoked one.
func TestAnArrangementThatBeganLaterIsNotAtRiskByARevocation(t *testing.T) {
	w := revokingWith(t, tenancy.Adaptive)
	w.sees(w.erp, 2, rollover.Accepted, rollover.Traffic, date("2026-07-01"))
	at := date("2026-07-01").Add(29 * policy.Day)
	check(t, w.Tick(t.Context(), at))
	w.arrange(tenancy.Arrangement{TenantID: w.acme.ID, Name: "crm-to-before", Endpoint: "https://before",
		Strategy: tenancy.Adaptive, Generation: 2, CreatedAt: at})
	_, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 1, Compromised, "olga", at)
	check(t, err)
	w.arrange(tenancy.Arrangement{TenantID: w.acme.ID, Name: "crm-to-after", Endpoint: "https://after",
		Strategy: tenancy.Adaptive, Generation: 2, CreatedAt: at})
	for _, name := range []string{"before", "after"} {
		s := w.standing(w.acme, name)
		if risk, atRisk := s.Rollover.Risk(at); atRisk || s.Rollover.State(at) != rollover.Settled || len(s.Revoked) > 0 {
			t.Errorf("%s: at risk %v %+v, %s", name, atRisk, risk, s.Rollover.State(at))
		}
	}
	if s := w.standing(w.acme, "erp"); len(s.Revoked) != 1 || s.Revoked[0].Generation != 1 {
		t.Errorf("%d revoked generations of the arrangement that presented it", len(s.Revoked))
	}
	w.revoked(1)
	// The newest one is revoked too. Its successor is not known to be accepted by either of them.
	_, err = w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 2, Compromised, "olga", at.Add(time.Hour))
	check(t, err)
	if got := w.open(at.Add(time.Hour)); !slices.Equal(got, []string{"crm-to-after", "crm-to-before", "crm-to-erp"}) {
		t.Errorf("%q are found at risk", got)
	}
}

func TestAGenerationIsNotRevokedWithoutNeed(t *testing.T) {
	w := revokingWith(t, tenancy.Adaptive)
	_, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 1, Lost, "olga", date("2026-06-02"))
	check(t, err)
	for what, c := range map[string]struct {
		tenant     string
		generation int
		reason     string
		on         string
		want       error
	}{
		"an unknown tenant":  {"other", 1, Lost, "2026-06-03", tenancy.ErrNotFound},
		"an unknown one":     {"acme", 7, Lost, "2026-06-03", tenancy.ErrNotFound},
		"one that has ended": {"acme", 2, Lost, "2027-06-03", tenancy.ErrRefused},
		"a revoked one":      {"acme", 1, Lost, "2026-06-03", tenancy.ErrRefused},
		"a reissue":          {"acme", 2, Reissue, "2026-06-03", tenancy.ErrInvalid},
		"no reason":          {"acme", 2, "", "2026-06-03", tenancy.ErrInvalid},
	} {
		_, err := w.RevokeGeneration(t.Context(), c.tenant, tenancy.ForTenant, c.generation, c.reason, "olga", date(c.on))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.revoked(1)
}

// No generation is left, and the CA answers later: every message fails until then.
func TestArrangementsAreAtRiskWhileEveryGenerationIsRevoked(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	ca := f.withSlow()
	acme := f.tenant("acme", now)
	f.arrangementOf(acme, "erp", "bank")
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	ca.open = true
	check(t, f.Tick(t.Context(), now.Add(time.Hour)))
	if got := f.open(now.Add(time.Hour)); len(got) > 0 {
		t.Errorf("%q are at risk at first", got)
	}
	ca.open = false
	at := now.Add(2 * time.Hour)
	_, err := f.RevokeGeneration(t.Context(), "acme", "bank", 1, Compromised, "olga", at)
	check(t, err)
	check(t, f.Tick(t.Context(), at.Add(time.Hour)))
	check(t, f.Open(t.Context(), at, func(s standing.Standing) {
		risk, atRisk := s.Rollover.Risk(at)
		if !atRisk || !risk.Stopped() || !risk.Exposed || s.Rollover.State(at) == rollover.Settled {
			t.Errorf("%s: %v, %+v, %s", s.Name(), atRisk, risk, s.Rollover.State(at))
		}
	}))
	if got := f.open(at); !slices.Equal(got, []string{"crm-to-erp"}) {
		t.Errorf("%q are at risk without a certificate", got)
	}
	erp, err := f.store.Arrangement(t.Context(), acme.ID, "crm-to-erp")
	check(t, err)
	_, err = f.Standing(t.Context(), f.store.Reader, acme, erp)
	if !errors.Is(err, tenancy.ErrRefused) || !strings.Contains(err.Error(), "is revoked, and no message can be sent") {
		t.Error(err)
	}
	ca.open = true
	check(t, f.Tick(t.Context(), at.Add(5*time.Hour)))
	if risk, atRisk := f.standing(acme, "erp").Rollover.Risk(at.Add(5 * time.Hour)); !atRisk || risk.Stopped() {
		t.Errorf("with the next generation: %v, %+v", atRisk, risk)
	}
}

// The CA answers after the revocation. Its answer must not revoke the earlier generation.
func TestOnlyOneGenerationIsRevokedIfItsSuccessorIsRequested(t *testing.T) {
	now := date("2026-01-15")
	f := sqlite(t, policy.Default, now)
	ca := f.withSlow()
	acme := f.tenant("acme", now)
	f.arrangementOf(acme, "erp", "bank")
	f.add(acme, tenancy.Credential{Name: "bank", Issuer: "bank-ca"}, now)
	ca.open = true
	check(t, f.Tick(t.Context(), now.Add(time.Hour)))
	_, err := f.RenewByHand(t.Context(), "acme", "bank", Reissue, "olga", now.Add(2*time.Hour))
	check(t, err)
	check(t, f.Tick(t.Context(), now.Add(4*time.Hour)))
	ca.open = false
	c, err := f.RevokeGeneration(t.Context(), "acme", "bank", 2, Compromised, "olga", now.Add(5*time.Hour))
	check(t, err)
	if c.State != tenancy.Requested || c.Generation != 3 {
		t.Errorf("generation %d is %s", c.Generation, c.State)
	}
	ca.open = true
	check(t, f.Tick(t.Context(), now.Add(8*time.Hour)))
	for generation, revoked := range map[int]bool{1: false, 2: true, 3: false} {
		c, err := f.store.Certificate(t.Context(), acme.ID, "bank", generation)
		check(t, err)
		if (c.State == tenancy.Revoked) != revoked {
			t.Errorf("generation %d is %s", generation, c.State)
		}
	}
	f.eventsOf("certificate.revoked", 1)
}

// The CA may be away for long, and the key is in the wrong hands now.
func TestAGenerationIsRevokedAlthoughItsCADoesNotIssueAnother(t *testing.T) {
	for _, single := range []bool{true, false} {
		w := revokingWith(t, tenancy.Adaptive)
		at := date("2026-06-02")
		w.fixture.down["acme"] = true
		var err error
		if single {
			_, err = w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 2, Compromised, "olga", at)
		} else {
			_, err = w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "olga", at)
		}
		if err == nil {
			t.Errorf("single %v: the failure of the CA is not reported", single)
		}
		if single {
			w.revoked(2)
			w.presents(at, 1)
		} else {
			w.revoked(1, 2)
		}
		w.fixture.down["acme"] = false
		c, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Compromised, "olga", at.Add(time.Hour))
		check(t, err)
		if c.Generation != 3 {
			t.Errorf("single %v: generation %d is issued afterwards", single, c.Generation)
		}
	}
}

// A run of another replica renews the certificate while its CA issues the successor for the revocation.
func TestAGenerationThatIsRenewedMeanwhileIsRevoked(t *testing.T) {
	w := revokingWith(t, tenancy.Adaptive)
	at := date("2026-06-02")
	w.fixture.meanwhile = func() {
		_, err := w.RenewByHand(t.Context(), "acme", tenancy.ForTenant, Reissue, "another", at)
		check(t, err)
	}
	c, err := w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 2, Compromised, "olga", at)
	check(t, err)
	if c.Generation != 3 {
		t.Errorf("the newest is generation %d", c.Generation)
	}
	w.revoked(2)
	w.presents(at, 1, 3)
}

// Only one of them issues a certificate, and the others must not show the one that they did not store.
func TestRevocationsAtTheSameTimeNameOnlyCertificatesThatExist(t *testing.T) {
	w := revokingWith(t, tenancy.Adaptive)
	const callers = 4
	var all sync.WaitGroup
	issued := make([]tenancy.Certificate, callers)
	failures := make([]error, callers)
	for i := range callers {
		all.Go(func() {
			issued[i], failures[i] = w.RevokeGeneration(t.Context(), "acme", tenancy.ForTenant, 2, Compromised, "olga",
				date("2026-06-02"))
		})
	}
	all.Wait()
	newest, err := w.store.Newest(t.Context(), w.acme.ID, tenancy.ForTenant)
	check(t, err)
	if newest.Generation != 3 {
		t.Errorf("generation %d is the newest", newest.Generation)
	}
	for i, err := range failures {
		refused := errors.Is(err, tenancy.ErrRefused) || errors.Is(err, tenancy.ErrStale) ||
			errors.Is(err, tenancy.ErrConflict)
		if err == nil && issued[i].ID != newest.ID || err != nil && !refused {
			t.Errorf("caller %d: %s, %v", i, issued[i].Serial, err)
		}
	}
	w.revoked(2)
}
