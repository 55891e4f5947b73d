package store

import (
	"context"
	"slices"
	"strings"
)

// A Found is something that a search has found. Each search reads a range of an index, or the rows of one tenant, so
// its cost does not grow with the fleet.
type Found struct {
	TenantID string
	Name     string // of the object in its tenant; the purpose of a certificate
	Detail   string // the display name, the endpoint, the address, or the fingerprint
	// Generation and Serial are those of a certificate.
	Generation int
	Serial     string
}

// A Search is what a person looks for.
type Search struct {
	Text     string
	TenantID string // of the only tenant to search; empty for all
	Limit    int
}

func scanFound(s row) (f Found, err error) {
	err = s.Scan(&f.TenantID, &f.Name, &f.Detail, &f.Generation, &f.Serial)
	return f, err
}

// last is greater than every character, so that a prefix and the prefix with it enclose what begins with the prefix.
const last = "\U0010ffff"

// beginning finds rows of a table by the beginning of an indexed column or expression. columns are those of a [Found].
func (s Search) beginning(ctx context.Context, r Reader, columns, table, indexed, text string) ([]Found, error) {
	query := "SELECT " + columns + " FROM " + table + " WHERE " + indexed + " >= ? AND " + indexed + " < ?"
	args := []any{text, text + last}
	if s.TenantID != "" {
		query, args = query+" AND tenant_id = ?", append(args, s.TenantID)
	}
	return list(ctx, r, scanFound, query+" ORDER BY "+indexed+", id LIMIT ?", append(args, s.Limit)...)
}

// mostCandidates limits the tenants that are read for one word of a search.
const mostCandidates = 2000

// FindTenants finds tenants by the beginning of their name, then those whose display name has words that begin with
// each word of the text. Of words that very many tenants have, it reads some.
func (r Reader) FindTenants(ctx context.Context, s Search) ([]Found, error) {
	const columns = "SELECT id, name, display_name, 0, '' FROM tenants "
	found, err := list(ctx, r, scanFound, columns+"WHERE name >= ? AND name < ? ORDER BY name LIMIT ?", asciiLower(s.Text),
		asciiLower(s.Text)+last, s.Limit)
	words := wordsOf(s.Text)
	if err != nil || len(words) == 0 {
		return found, err
	}
	if words, err = r.rarestFirst(ctx, words); err != nil || len(words) == 0 {
		return found, err
	}
	query := columns + "WHERE id IN (SELECT tenant_id FROM (SELECT tenant_id FROM tenant_words WHERE word >= ? AND " +
		"word < ? LIMIT ?) AS c"
	args := []any{words[0], words[0] + last, mostCandidates}
	for i, word := range words[1:] {
		query += []string{" WHERE ", " AND "}[min(i, 1)] +
			"EXISTS (SELECT 1 FROM tenant_words AS o WHERE o.tenant_id = c.tenant_id AND o.word >= ? AND o.word < ? LIMIT 1 " +
			"OFFSET 0)" // without the offset, PostgreSQL reads every tenant that has the word
		args = append(args, word, word+last)
	}
	byWord, err := list(ctx, r, scanFound, query+") ORDER BY name LIMIT ?", append(args, s.Limit)...)
	return merge(found, byWord, s.Limit), err
}

// rarestFirst sorts words by the number of tenants that have them, as far as that is counted. It returns none
// if a word has no tenant.
func (r Reader) rarestFirst(ctx context.Context, words []string) ([]string, error) {
	counts := map[string]int{}
	for _, word := range words {
		n, err := one(ctx, r, "count", scanOne[int], "SELECT count(*) FROM (SELECT 1 FROM tenant_words WHERE word >= ? AND "+
			"word < ? LIMIT ?) AS c", word, word+last, mostCandidates)
		if err != nil || n == 0 {
			return nil, err
		}
		counts[word] = n
	}
	slices.SortStableFunc(words, func(a, b string) int { return counts[a] - counts[b] })
	return words, nil
}

// FindArrangements finds arrangements by the beginning of their name.
func (r Reader) FindArrangements(ctx context.Context, s Search) ([]Found, error) {
	return s.beginning(ctx, r, "tenant_id, name, endpoint, 0, ''", "arrangements", "name", asciiLower(s.Text))
}

// FindReceivers finds receivers by the beginning of their name or display name.
func (r Reader) FindReceivers(ctx context.Context, s Search) ([]Found, error) {
	const columns = "tenant_id, name, display_name, 0, ''"
	found, err := s.beginning(ctx, r, columns, "receivers", "name", asciiLower(s.Text))
	if err != nil {
		return nil, err
	}
	titled, err := s.beginning(ctx, r, columns, "receivers", "lower(display_name)", asciiLower(s.Text))
	return merge(found, titled, s.Limit), err
}

// FindKeyUsers finds key users by the beginning of their e-mail address.
func (r Reader) FindKeyUsers(ctx context.Context, s Search) ([]Found, error) {
	return s.beginning(ctx, r, "tenant_id, name, email, 0, ''", "key_users", "lower(email)", asciiLower(s.Text))
}

// FindITContacts finds IT contacts by the beginning of their e-mail address.
func (r Reader) FindITContacts(ctx context.Context, s Search) ([]Found, error) {
	return s.beginning(ctx, r, "tenant_id, name, email, 0, ''", "it_contacts", "lower(email)", asciiLower(s.Text))
}

// FindReceiversOf finds receivers by the beginning of their administrator's e-mail address.
func (r Reader) FindReceiversOf(ctx context.Context, s Search) ([]Found, error) {
	return s.beginning(ctx, r, "tenant_id, name, contact_email, 0, ''", "receivers", "lower(contact_email)",
		asciiLower(s.Text))
}

// FindReceiversOfContact finds receivers of the only tenant by the beginning of their administrator's name. Names have
// no index, so all tenants together are not searched.
func (r Reader) FindReceiversOfContact(ctx context.Context, s Search) ([]Found, error) {
	if s.TenantID == "" {
		return nil, nil
	}
	return s.beginning(ctx, r, "tenant_id, name, contact_name, 0, ''", "receivers", "lower(contact_name)",
		asciiLower(s.Text))
}

// FindContacts finds counterparties by the beginning of the e-mail address or of the name of a contact. Contacts are
// few, and have no index.
func (r Reader) FindContacts(ctx context.Context, text string, limit int) ([]Found, error) {
	const columns = "'', (SELECT c.name FROM counterparties c WHERE c.id = counterparty_id), email, 0, ''"
	s := Search{Text: asciiLower(text), Limit: limit}
	byAddress, err := s.beginning(ctx, r, columns, "counterparty_contacts", "lower(email)", s.Text)
	if err != nil {
		return nil, err
	}
	byName, err := s.beginning(ctx, r, columns, "counterparty_contacts", "lower(name)", s.Text)
	return merge(byAddress, byName, limit), err
}

const foundCertificate = "tenant_id, purpose, fingerprint, generation, serial"

// FindCertificates finds certificates by one of the notations of a serial number, in lowercase hexadecimal, or by the
// beginning of their SHA-256.
func (r Reader) FindCertificates(ctx context.Context, s Search, serials []string) (found []Found, err error) {
	if len(serials) > 0 {
		in, args := r.among(serials)
		query := "SELECT " + foundCertificate + " FROM certificates WHERE serial " + in
		if s.TenantID != "" {
			query, args = query+" AND tenant_id = ?", append(args, s.TenantID)
		}
		if found, err = list(ctx, r, scanFound, query+" LIMIT ?", append(args, s.Limit)...); err != nil {
			return nil, err
		}
	}
	byFingerprint, err := s.beginning(ctx, r, foundCertificate, "certificates", "fingerprint", s.Text)
	return merge(found, byFingerprint, s.Limit), err
}

// merge appends what is not there yet, up to a limit.
func merge(found, more []Found, limit int) []Found {
	for _, f := range more {
		if !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	return found[:min(len(found), limit)]
}

// asciiLower folds the letters that both engines fold in lower(): those of ASCII.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}
