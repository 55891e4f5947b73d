package service

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/internal/keys/kms"
	"github.com/perennial-pki/perennial/policy"
	"github.com/perennial-pki/perennial/tenancy"
)

// Rules are the settings that determine certificates and their schedule. They are stored in the database, because
// replicas with different rules would issue other subjects, or renew at other times, than the others. The first start
// of a database stores them, and [ChangeRules] changes them. Each is empty in flags that are not set.
type Rules struct {
	Policy       string // the text of a policy file
	Organization string
	TrustDomain  string
	Issuer       string // name of the default issuer
	MUser        string // on or off: whether new tenants get an M-user
	TenantKeys   string // URI of the token that makes the keys of tenants, or [SealedKeys]
}

// The values of a new database.
const (
	defaultOrganization = "Perennial"
	defaultTrustDomain  = "perennial.internal"
)

// The values of [Rules.MUser].
const (
	on  = "on"
	off = "off"
)

// SealedKeys is the value of [Rules.TenantKeys] with which private keys of tenants are sealed in the database.
const SealedKeys = "sealed"

const tenantKeysRule = "rules/tenant-keys"

// A rule is one field of [Rules], with its name in the database and on the command line.
type rule struct {
	setting, flag string
	value         func(*Rules) *string
	// shown returns a value in the form in which it is printed.
	shown func(value string) string
}

var ruleTable = []rule{
	{"rules/policy", "policy", func(r *Rules) *string { return &r.Policy }, policyName},
	{"rules/organization", "organization", func(r *Rules) *string { return &r.Organization }, quoted},
	{"rules/trust-domain", "trust-domain", func(r *Rules) *string { return &r.TrustDomain }, quoted},
	{"rules/issuer", "issuer", func(r *Rules) *string { return &r.Issuer }, quoted},
	{"rules/m-user", "m-user", func(r *Rules) *string { return &r.MUser }, quoted},
	{tenantKeysRule, "tenant-keys", func(r *Rules) *string { return &r.TenantKeys }, quoted},
}

func quoted(value string) string { return fmt.Sprintf("%q", value) }

func policyName(text string) string {
	p, err := policy.Read(strings.NewReader(text))
	if err != nil {
		return "a policy that cannot be read"
	}
	return p.Name
}

// Fingerprint identifies the rules in metrics. Replicas of one database have the same one.
func (r Rules) Fingerprint() string {
	sum := sha256.New()
	for _, rule := range ruleTable {
		fmt.Fprintf(sum, "%s\x00", *rule.value(&r))
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// LoadPolicy returns the policy.
func (r Rules) LoadPolicy() (policy.Policy, error) {
	p, err := policy.Read(strings.NewReader(r.Policy))
	if err != nil {
		return p, fmt.Errorf("the policy in the database: %w", err)
	}
	if built, err := policy.Preset(p.Name); err == nil && built.YAML() == r.Policy {
		return built, nil // with its source
	}
	return p, p.Check()
}

// check returns an error if the rules contradict each other.
func (r Rules) check() error {
	if r.MUser != off {
		return nil
	}
	p, err := r.LoadPolicy()
	if err == nil && p.HasMUserRules() {
		err = tenancy.Errorf(tenancy.ErrRefused, "the policy %s has rules about the M-user, so M-users cannot be off: "+
			"choose another policy first (perennial rules change --policy perennial)", p.Name)
	}
	return err
}

// rules returns the rules that the flags set.
func (c *Certificates) rules() (r Rules, err error) {
	r.Organization, r.TrustDomain, r.Issuer, r.MUser = c.Organization, c.TrustDomain, c.Issuer, c.MUser
	if r.TenantKeys = c.TenantKeys; r.tokenURI() != "" {
		if err := kms.CheckToken(r.TenantKeys); err != nil {
			return r, fmt.Errorf("--tenant-keys: %w (or use %s)", err, SealedKeys)
		}
	}
	if c.Policy != "" {
		p, err := LoadPolicy(c.Policy)
		if err != nil {
			return r, err
		}
		r.Policy = p.YAML()
	}
	authority := local.Config{TrustDomain: cmp.Or(r.TrustDomain, defaultTrustDomain),
		Organization: cmp.Or(r.Organization, defaultOrganization)}
	return r, authority.Check()
}

// tokenURI returns the token that makes the keys of tenants; empty if they are sealed in the database.
func (r Rules) tokenURI() string {
	if r.TenantKeys == SealedKeys {
		return ""
	}
	return r.TenantKeys
}

// readRules returns the rules of a database. Those that it does not have yet are empty.
func readRules(ctx context.Context, s store.Reader) (r Rules, err error) {
	for _, rule := range ruleTable {
		if *rule.value(&r), err = s.Setting(ctx, rule.setting); err != nil {
			return r, err
		}
	}
	return r, nil
}

// agree returns the rules of the database. It stores those that are missing, and refuses flags that differ.
func agree(ctx context.Context, s *store.Store, flags Rules) (Rules, error) {
	usual, err := policy.Preset(policy.Default)
	if err != nil {
		return Rules{}, err
	}
	defaults := Rules{Policy: usual.YAML(), Organization: defaultOrganization, TrustDomain: defaultTrustDomain,
		Issuer: issuer.Local, MUser: on, TenantKeys: SealedKeys}
	known, err := readRules(ctx, s.Reader)
	if err == nil && slices.ContainsFunc(ruleTable, func(rule rule) bool { return *rule.value(&known) == "" }) {
		first := flags
		if known.Policy != "" { // an earlier release had no other CA, M-users always, and no keys in tokens
			first.Issuer, first.MUser, first.TenantKeys = "", "", ""
		}
		err = s.InTx(ctx, func(tx *store.Tx) error {
			for _, rule := range ruleTable {
				value := cmp.Or(*rule.value(&first), *rule.value(&defaults))
				if *rule.value(&known), err = tx.SetOnce(ctx, rule.setting, value); err != nil {
					return err
				}
			}
			return known.check()
		})
	}
	if err != nil {
		return known, err
	}
	for _, rule := range ruleTable {
		if flag, value := *rule.value(&flags), *rule.value(&known); flag != "" && flag != value {
			return known, fmt.Errorf("this database has the %[1]s %[2]s, and --%[1]s sets %[3]s: replicas must not differ. "+
				"Leave the flag out, or change it for all of them with perennial rules change --%[1]s", rule.flag,
				rule.shown(value),
				rule.shown(flag))
		}
	}
	return known, nil
}

// A RuleChange is a difference between the rules of a database and the requested ones.
type RuleChange struct {
	Flag     string `json:"setting"` // name of the flag
	From, To string // the name of a policy, or the quoted value
	Meaning  string // one or two sentences
}

// ReadRules returns the rules of a database. It does not change the database.
func ReadRules(ctx context.Context, database string) (r Rules, err error) {
	s, err := openExisting(ctx, database, store.Open)
	if err != nil {
		return r, err
	}
	defer s.Close()
	return readRules(ctx, s.Reader)
}

// Mode decides whether [ChangeRules] makes the change.
type Mode int

// Preview only returns the changes. Apply stores them.
const (
	Preview Mode = iota
	Apply
)

// ChangeRules changes the rules of a database to those that are set in c, and returns the effects. Running replicas use
// the new rules after a restart. The error is [tenancy.ErrRefused] for a change that cannot be made.
func ChangeRules(ctx context.Context, database string, c Certificates, mode Mode, now time.Time) ([]RuleChange, error) {
	wanted, err := c.rules()
	if err != nil {
		return nil, err
	}
	if token := wanted.tokenURI(); token != "" {
		calling, cancel := context.WithTimeout(ctx, keyring.RemoteTime)
		defer cancel()
		if err := kms.Tokens().Check(calling, token); err != nil {
			return nil, fmt.Errorf("--tenant-keys: %w", err)
		}
	}
	s, err := openExisting(ctx, database, store.Open)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var changes []RuleChange
	err = s.InTx(ctx, func(tx *store.Tx) error {
		changes = nil
		known, err := readRules(ctx, tx.Reader)
		if err != nil {
			return err
		}
		changed := known
		for _, rule := range ruleTable {
			from, to := *rule.value(&known), *rule.value(&wanted)
			if to == "" || to == from {
				continue
			}
			if from == "" {
				return tenancy.Errorf(tenancy.ErrRefused, "this database has no rules yet: start the service with --%s once",
					rule.flag)
			}
			change := RuleChange{Flag: rule.flag, From: rule.shown(from), To: rule.shown(to)}
			if change.Meaning, err = meaning(rule.flag, from, to); err != nil {
				return err
			}
			changes = append(changes, change)
			*rule.value(&changed) = to
			if rule.flag == "tenant-keys" && to != SealedKeys {
				if err := makesKeys(ctx, tx.Reader, changed); err != nil {
					return err
				}
			}
			if mode == Preview {
				continue
			}
			if err := tx.SetSetting(ctx, rule.setting, to); err != nil {
				return err
			}
			if err := tx.Audit(ctx, tenancy.NewEvent(now, actor, "rules.changed", "", rule.flag,
				map[string]any{"from": from, "to": to})); err != nil {
				return err
			}
		}
		return changed.check()
	})
	return changes, err
}

// makesKeys returns a [tenancy.ErrRefused] if the token of the rules cannot create the keys of every tenant, because
// their certificates could not be renewed.
func makesKeys(ctx context.Context, s store.Reader, r Rules) error {
	if r.tokenURI() == "" {
		return nil
	}
	kinds, err := s.KeyTypes(ctx)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if err := keyring.MadeInToken(kind); err != nil {
			return tenancy.Errorf(tenancy.ErrRefused, "a tenant or a credential has the key type %s: %v", kind, err)
		}
	}
	return nil
}

// meaning returns the effects of a change on certificates and their receivers.
func meaning(flag, from, to string) (string, error) {
	switch flag {
	case "trust-domain":
		return "", tenancy.Errorf(tenancy.ErrRefused, "the trust domain cannot change from %q to %q: the CAs of this "+
			"installation are constrained to it, so that receivers would refuse certificates of another one", from, to)
	case "issuer":
		return fmt.Sprintf("%s issues the next generations instead of %s. Receivers that trust the CA of %s must trust the "+
			"new one first. Messages fall back to the present certificates as long as these are valid.", to, from, from), nil
	case "tenant-keys":
		if to == SealedKeys {
			return "The keys of the next generations are sealed in the database. The keys in the token are used until their " +
				"certificates are renewed.", nil
		}
		return "The keys of the next generations are made in the token and never leave it, so that every replica needs the " +
			"token, and a backup of the database contains no key of these. Update all replicas and gateways first: those of " +
			"earlier releases do not present such a certificate.", nil
	case "m-user":
		if to == on {
			return "New tenants get an M-user. Those that were created without one stay without one.", nil
		}
		return "New tenants get no M-user. The certificates of existing M-users are renewed as before.", nil
	case "organization":
		return "Certificates of existing tenants keep their subject. New tenants and new CAs have the new organization.", nil
	}
	shares := [2]string{}
	for i, text := range []string{from, to} {
		p, err := Rules{Policy: text}.LoadPolicy()
		if err != nil {
			return "", err
		}
		report, err := policy.Audit(p)
		if err != nil {
			return "", err
		}
		shares[i] = fmt.Sprintf("renews within %s, warns up to %s, and %.2f %% of its renewals come without an earlier "+
			"warning",
			p.RenewWithin, p.WarnTo, report.SteadyState.Share*100)
	}
	return fmt.Sprintf("The present policy %s. The new one %s.", shares[0], shares[1]), nil
}
