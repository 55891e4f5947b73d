// Package guard accepts the client certificates of partners by rule, through their renewals, in front of an HTTP
// handler. Its decisions are those of package acceptance. It remembers what they lead to: the successor of a known
// certificate is known from its first use on, and a held one has its time from then on.
//
// It guarantees that a request reaches the handler only with a certificate that is accepted at that moment, that the
// handler learns the partner from [PartnerOf] or the header [PartnerHeader], which callers cannot forge, and that no
// stranger can make its memory grow. A decision does no I/O. It relies on crypto/tls for the proof
// that the caller has the private key: [TLS] returns a configuration that asks for a certificate.
//
// What is learned is lost with the process unless [Options.Learned] stores it.
package guard

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/recent"
)

// A Learned is a certificate that was accepted as a successor, or held, for the first time.
type Learned struct {
	At time.Time
	// Chain begins with the certificate of the caller.
	Chain    []*x509.Certificate
	Decision acceptance.Decision
}

// A Call is a call that was decided.
type Call struct {
	At time.Time
	// Remote is the address of the caller, and Host the name that was called.
	Remote, Host string
	// Chain is empty for a caller without a certificate.
	Chain    []*x509.Certificate
	Decision acceptance.Decision
	Accepted bool
}

// Options are the edges of a guard.
type Options struct {
	// Now is the clock; [time.Now] if it is nil.
	Now func() time.Time
	// Learned is called once for each successor, and once for each certificate that is held, before the call continues.
	// Certificates of another CA, which any stranger can create, are not learned. Calls to it do not overlap. It must
	// not block: messages wait for it.
	Learned func(Learned)
	// Decided is called for every call. It may be called concurrently, and must not block.
	Decided func(Call)
}

// A Guard decides about callers. It is safe for concurrent use.
type Guard struct {
	now     func() time.Time
	learned func(Learned)
	decided func(Call)

	partners atomic.Pointer[acceptance.Partners]
	mu       sync.Mutex // serializes changes of partners
	recent   *recent.Cache[chainKey, *verdict]
}

// New returns a guard for partners. The error names the partner that is not valid.
func New(partners []acceptance.Partner, o Options) (*Guard, error) {
	index, err := acceptance.New(partners)
	if err != nil {
		return nil, err
	}
	g := &Guard{now: o.Now, learned: o.Learned, decided: o.Decided, recent: recent.New[chainKey, *verdict](mostRecent)}
	if g.now == nil {
		g.now = time.Now
	}
	if g.learned == nil {
		g.learned = func(Learned) {}
	}
	if g.decided == nil {
		g.decided = func(Call) {}
	}
	g.partners.Store(index)
	return g, nil
}

// Partners returns the partners with what was learned.
func (g *Guard) Partners() *acceptance.Partners { return g.partners.Load() }

// Change replaces the partners by what a function makes of them. The function is called again if something was learned
// meanwhile, so that nothing is lost and no decision waits for it. If it returns an error, nothing is changed.
func (g *Guard) Change(change func(*acceptance.Partners) (*acceptance.Partners, error)) error {
	for {
		before := g.partners.Load()
		after, err := change(before)
		if err != nil {
			return err
		}
		g.mu.Lock()
		done := g.partners.CompareAndSwap(before, after)
		g.mu.Unlock()
		if done {
			return nil
		}
	}
}

// Decide decides about a chain that begins with the certificate of a caller, who has proved that the key is his. It
// learns from the decision.
func (g *Guard) Decide(chain []*x509.Certificate) (d acceptance.Decision, accepted bool) {
	now := g.now()
	v := g.verdict(chain, now)
	return v.decision, v.decision.Accepts(now)
}

// verdict returns a recent verdict about a chain, or a new one.
func (g *Guard) verdict(chain []*x509.Certificate, now time.Time) *verdict {
	key := keyOf(chain)
	partners := g.partners.Load()
	if v, ok := g.recent.Get(key); ok && v.holds(partners, now) {
		return v
	}
	d := partners.Decide(chain, now)
	if isNew(partners, d, chain) {
		d, partners = g.learn(chain, now)
	}
	v := newVerdict(d, partners, chain, now)
	if v.size <= maxPassedOn {
		g.recent.Put(key, v)
	}
	return v
}

// isNew reports whether a decision changes the partners: a certificate is accepted or held for the first time. One of
// another CA is not held by name, because any stranger can create it.
func isNew(partners *acceptance.Partners, d acceptance.Decision, chain []*x509.Certificate) bool {
	switch {
	case d.Outcome == acceptance.Accept:
		return d.Code == acceptance.IsSuccessor
	case d.Outcome == acceptance.Hold && d.Code != acceptance.OtherCA:
		return partners.MayHold(d.Partner, acceptance.NewKnown(chain[0]))
	}
	return false
}

// learn decides again, alone, and changes the partners.
func (g *Guard) learn(chain []*x509.Certificate, now time.Time) (acceptance.Decision, *acceptance.Partners) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.partners.Load()
	d := before.Decide(chain, now)
	if !isNew(before, d, chain) {
		return d, before
	}
	k := acceptance.NewKnown(chain[0])
	var after *acceptance.Partners
	var err error
	if d.Outcome == acceptance.Accept {
		after, err = before.WithKnown(d.Partner, k)
	} else {
		after, err = before.WithHeld(d.Partner, acceptance.Held{Body: k.Body, Since: now})
	}
	if err != nil { // only a person can resolve that
		d = acceptance.Decision{Outcome: acceptance.Hold, Partner: d.Partner, Code: acceptance.Ambiguous, Reason: err.Error()}
		after, err = before.WithHeld(d.Partner, acceptance.Held{Body: k.Body, Since: now})
		if err != nil || !before.MayHold(d.Partner, k) {
			return d, before
		}
	}
	g.partners.Store(after)
	g.learned(Learned{At: now, Chain: chain, Decision: d})
	return d, after
}

type partnerKey struct{}

// PartnerOf returns the name of the partner whose call a context belongs to. It is empty outside a guard's handler.
func PartnerOf(ctx context.Context) string {
	name, _ := ctx.Value(partnerKey{}).(string)
	return name
}

// TLS returns a copy of a server's configuration that asks callers for a certificate. It names no CAs, because callers
// would then not send a certificate of another CA, and could not be told why it is not accepted.
func TLS(config *tls.Config) *tls.Config {
	c := config.Clone()
	c.ClientAuth, c.ClientCAs = tls.RequestClientCert, nil
	c.MinVersion = cmp.Or(c.MinVersion, tls.VersionTLS12)
	c.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
		size := 0
		for _, der := range raw {
			size += len(der)
		}
		if size > maxChain {
			return fmt.Errorf("the certificates of the caller are larger than %d KiB", maxChain>>10)
		}
		return nil
	}
	return c
}

// maxChain limits the certificates of a caller, in bytes, because a connection keeps them. crypto/tls allows 256 KiB.
const maxChain = 32 << 10
