package api

import (
	"archive/zip"
	"context"
	"database/sql"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/tenancy"
)

// counterpartyPagePath is the path prefix of the pages of counterparties. A secret follows.
const counterpartyPagePath = "/counterparty/"

const (
	// testAgain is the time after which the page of a counterparty can have a receiver tested again.
	testAgain = 5 * time.Minute
	// mostTests limits the tests that one request asks for, and mostTestsOfLine those of one certificate, so that a tenant
	// with many arrangements does not keep the others from being tested.
	mostTests, mostTestsOfLine = 5000, 50
	// testsPerWrite limits the tests in one transaction, so that a page without an account does not delay other writes.
	testsPerWrite = 500
	// mostDeadlines limits the days with a deadline on a page.
	mostDeadlines = 100
	// visitEvery is the time in which visits of a page are recorded once.
	visitEvery = time.Hour
	// productEvery is the time after which a page can name another product. Each change is an audit event, and makes an
	// operator who edits the counterparty start again.
	productEvery = 10 * time.Second
)

// A QuestionQueue queues the tests that the pages of counterparties and operators ask for.
type QuestionQueue interface {
	EnqueueQuestions(ctx context.Context, tx *sql.Tx, counterpartyID string) error
	EnqueueRound(ctx context.Context, tx *sql.Tx, roundID string) error
}

func registerCounterpartyPage(r *router) {
	const page = "/links/{secret}/counterparty"
	register(r, endpoint{
		method: http.MethodGet, path: page, access: public,
		summary: "Get the content of the page of a counterparty. Needs no token",
	}, (*server).getCounterpartyPage)
	register(r, endpoint{
		method: http.MethodGet, path: page + "/lines", access: public,
		summary: "List the certificates that the receivers of a counterparty must accept, the worst first. Needs no token",
	}, (*server).listCounterpartyPageLines)
	register(r, endpoint{
		method: http.MethodPost, path: page + "/test", access: public,
		summary: "Test receivers of a counterparty, and optionally report the new certificates as installed. Needs no token",
	}, (*server).testCounterparty)
	register(r, endpoint{
		method: http.MethodPut, path: page + "/product", access: public, status: http.StatusNoContent,
		summary: "Set the product that the receivers of a counterparty run. Needs no token",
	}, (*server).setCounterpartyProduct)
	register(r, endpoint{
		method: http.MethodPost, path: page + "/contacts", access: public, status: http.StatusNoContent,
		summary: "Propose another contact of a counterparty. An operator accepts it. Needs no token",
	}, (*server).proposeCounterpartyContact)
	register(r, endpoint{
		method: http.MethodPost, path: page + "/contacts/{contact}/confirm", access: public,
		status: http.StatusNoContent, summary: "Confirm the data of a contact of a counterparty. Needs no token",
	}, (*server).confirmCounterpartyContact)
}

// pageOwner finds the counterparty whose page has a secret. A secret that was replaced or revoked is answered like one
// that never existed.
func (s *server) pageOwner(ctx context.Context, secret string) (tenancy.Counterparty, error) {
	c, _, err := s.pageReader(ctx, secret)
	return c, err
}

// pageReader is [server.pageOwner] with the ID of the contact whose address it is; empty for the counterparty's own.
func (s *server) pageReader(ctx context.Context, secret string) (c tenancy.Counterparty, contactID string, err error) {
	c, contactID, err = s.store.CounterpartyByHash(ctx, tenancy.HashSecret(secret), s.clock())
	if errors.Is(err, tenancy.ErrNotFound) {
		err = errLink
	}
	return c, contactID, err
}

// pageActor names the visitor of the page of a counterparty in the audit log.
func pageActor(c tenancy.Counterparty) string { return "page of " + c.Name }

// changeByPage writes a change by the visitor of a page and its audit event in one transaction.
func (s *server) changeByPage(ctx context.Context, c tenancy.Counterparty, action string, detail any,
	fn func(tx *store.Tx) error) error {
	return s.store.InTx(ctx, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(s.clock(), pageActor(c), action, "", c.Name, detail))
	})
}

func (s *server) getCounterpartyPage(ctx context.Context, in *OneLink) (*Entity[client.CounterpartyPage], error) {
	c, reader, err := s.pageReader(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if c.VisitedAt.Before(now.Add(-visitEvery)) {
		if err := s.store.InTx(ctx, func(tx *store.Tx) error {
			return tx.VisitCounterparty(ctx, c.ID, now.Add(-visitEvery), now)
		}); err != nil { // it may be read nevertheless
			s.log.WarnContext(ctx, "a visit of a counterparty's page was not recorded", "counterparty", c.Name, "error", err)
		}
	}
	counts, list, err1 := s.counterpartyCounts(ctx, c.ID)
	contacts, err2 := s.store.CounterpartyContacts(ctx, []string{c.ID})
	feed, err3 := s.counterpartyFeed(ctx, c)
	if feed != nil {
		feed.CreatedBy = "" // visitors need not know the names of operators
	}
	out := client.CounterpartyPage{DisplayName: c.DisplayName, Product: c.Product, Counts: counts, Feed: feed,
		Contacts: viewPeople(contacts[c.ID]), Deadlines: deadlines(list)}
	for i, person := range contacts[c.ID] {
		if person.ID == reader {
			out.Reader = &out.Contacts[i]
		}
	}
	return &Entity[client.CounterpartyPage]{Body: out}, errors.Join(err1, err2, err3)
}

// deadlines returns the days with a deadline, the earliest first.
func deadlines(list parties.List) []client.CounterpartyDeadline {
	days := map[string]client.CounterpartyDeadline{}
	for _, l := range list.Lines {
		if !l.State.Open() {
			continue
		}
		day := l.Deadline.UTC().Format(time.DateOnly)
		d, seen := days[day]
		if !seen || l.Deadline.Before(d.At) {
			d.At = l.Deadline
		}
		d.Certificates++
		days[day] = d
	}
	all := make([]client.CounterpartyDeadline, 0, len(days))
	for _, d := range days {
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b client.CounterpartyDeadline) int { return a.At.Compare(b.At) })
	return all[:min(len(all), mostDeadlines)]
}

func (s *server) listCounterpartyPageLines(ctx context.Context, in *struct {
	OneLink
	LinesPage
}) (*List[client.CounterpartyLine], error) {
	c, err := s.pageOwner(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	return s.counterpartyLines(ctx, c.ID, in.LinesPage)
}

func (s *server) testCounterparty(ctx context.Context, in *struct {
	OneLink
	Body client.CounterpartyTest
}) (*Entity[client.CounterpartyTested], error) {
	c, err := s.pageOwner(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	if s.questions == nil {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "this service tests no receivers: try again at its main address")
	}
	list, err := s.parties.Read(ctx, c.ID, s.clock())
	if err != nil {
		return nil, err
	}
	questions, err := s.newTests(ctx, wantedTests(list, c.ID, in.Body, s.now()))
	if err != nil {
		return nil, err
	}
	out := client.CounterpartyTested{}
	for part := range slices.Chunk(questions, testsPerWrite) {
		if err := s.wantTests(ctx, c, pageActor(c), part, in.Body.Installed, &out.Tests); err != nil {
			return nil, err
		}
	}
	return &Entity[client.CounterpartyTested]{Body: out}, nil
}

// newTests leaves out the tests that would change nothing, so that repeated requests do not write.
func (s *server) newTests(ctx context.Context,
	wanted []tenancy.CounterpartyQuestion) (all []tenancy.CounterpartyQuestion, err error) {
	for part := range slices.Chunk(wanted, testsPerWrite) {
		ids := make([]string, len(part))
		for i, q := range part {
			ids[i] = q.ArrangementID
		}
		known, err := s.store.QuestionsOf(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, q := range part {
			last, asked := known[q.ArrangementID]
			again := !last.DoneAt.IsZero() && last.WantedAt.Before(q.WantedAt.Add(-testAgain))
			if !asked || again || q.Claimed && !last.Claimed {
				all = append(all, q)
			}
		}
	}
	return all, nil
}

// wantTests stores tests that an actor wants and queues them, and adds the number of those that are new.
func (s *server) wantTests(ctx context.Context, c tenancy.Counterparty, actor string,
	part []tenancy.CounterpartyQuestion, installed bool, tests *int) error {
	added := 0
	err := s.store.InTx(ctx, func(tx *store.Tx) (err error) {
		now := part[0].WantedAt
		if added, err = tx.WantQuestions(ctx, part, now.Add(-testAgain)); err != nil || added == 0 {
			return err
		}
		if err := s.questions.EnqueueQuestions(ctx, tx.SQL(), c.ID); err != nil {
			return err
		}
		action := "counterparty.tested"
		if installed {
			action = "counterparty.installed"
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, actor, action, "", c.Name, map[string]any{"tests": added}))
	})
	if err == nil {
		*tests += added
	}
	return err
}

// wantedTests returns the tests that a request asks for. A certificate that is proved, or was reported already, is not
// reported again.
func wantedTests(list parties.List, counterpartyID string, in client.CounterpartyTest,
	now time.Time) (all []tenancy.CounterpartyQuestion) {
	chosen := map[string]bool{}
	for _, key := range in.Keys {
		chosen[key] = true
	}
	for _, l := range list.Lines {
		ofLine := 0
		for _, m := range l.Members { // the worst first
			if ofLine == mostTestsOfLine || !chosen[l.Key()] && (!in.All || !m.State.Open()) {
				break
			}
			if len(all) == mostTests {
				return all
			}
			ofLine++
			all = append(all, tenancy.CounterpartyQuestion{ArrangementID: m.ID, CounterpartyID: counterpartyID,
				Generation: m.Wanted, Claimed: in.Installed && m.State.Open() && m.State != parties.Claimed, WantedAt: now})
		}
	}
	return all
}

func (s *server) setCounterpartyProduct(ctx context.Context, in *struct {
	OneLink
	Body client.CounterpartyProduct
}) (*struct{}, error) {
	c, err := s.pageOwner(ctx, in.Secret)
	if err != nil || c.Product == in.Body.Product {
		return nil, err
	}
	c.Product = in.Body.Product
	if err := c.Check(); err != nil {
		return nil, err
	}
	wait, err := s.store.Reserve(ctx, "product of "+c.ID, 1, 1/productEvery.Seconds(), s.clock())
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		return nil, tenancy.Errorf(tenancy.ErrRefused, "the product of %s was changed a moment ago: try again in %d seconds",
			c.DisplayName, int(productEvery.Seconds()))
	}
	return nil, s.changeByPage(ctx, c, "counterparty.product-set", map[string]any{"product": c.Product},
		func(tx *store.Tx) error { return tx.SetCounterpartyProduct(ctx, c.ID, c.Product) })
}

func (s *server) proposeCounterpartyContact(ctx context.Context, in *struct {
	OneLink
	Body client.CounterpartyContact
}) (*struct{}, error) {
	c, err := s.pageOwner(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	contact, err := s.newContact(in.Body, c.ID)
	if err != nil {
		return nil, err
	}
	contact.ProposedBy = pageActor(c)
	return nil, s.changeByPage(ctx, c, "counterparty.contact-proposed", map[string]any{"contact": contact.Email},
		func(tx *store.Tx) error { return tx.AddCounterpartyContact(ctx, contact) })
}

func (s *server) confirmCounterpartyContact(ctx context.Context, in *struct {
	OneLink
	Contact string `path:"contact" maxLength:"36"`
}) (*struct{}, error) {
	c, err := s.pageOwner(ctx, in.Secret)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return nil, s.store.InTx(ctx, func(tx *store.Tx) error {
		confirmed, err := tx.ConfirmCounterpartyContact(ctx, c.ID, in.Contact, now.Add(-reportEvery), now)
		if err != nil || !confirmed {
			return err
		}
		return tx.Audit(ctx, tenancy.NewEvent(now, pageActor(c), "counterparty.contact-confirmed", "", c.Name,
			map[string]any{"contact": in.Contact}))
	})
}

// archivePage is the number of certificates of an archive that are read at once.
const archivePage = 500

// counterpartyArchive writes a zip file with every new certificate and a list of them.
func (s *server) counterpartyArchive(w http.ResponseWriter, r *http.Request) {
	c, err := s.pageOwner(r.Context(), r.PathValue("secret"))
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	list, err := s.parties.Read(r.Context(), c.ID, s.clock())
	if err != nil {
		s.linkFailed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", `attachment; filename="certificates.zip"`)
	if err := s.writeArchive(r.Context(), zip.NewWriter(w), list); err != nil {
		s.log.WarnContext(r.Context(), "an archive was cut off", "counterparty", c.Name, "error", err)
		// A zip file without its end cannot be opened, so the reader notices.
		panic(http.ErrAbortHandler)
	}
}

// writeArchive writes the certificates of the list that have a predecessor, each as a PEM file, and a table of them.
func (s *server) writeArchive(ctx context.Context, archive *zip.Writer, list parties.List) error {
	var table [][]string
	for page := range slices.Chunk(list.Lines, archivePage) {
		var ids []string
		for _, l := range page {
			ids = append(ids, l.New.ID)
		}
		certs, err := s.store.CertificatesByID(ctx, ids)
		if err != nil {
			return err
		}
		for _, l := range page {
			if l.State == parties.Quiet {
				continue
			}
			f, err := publish.Certificate(publish.PEM, certs[l.New.ID].DER, nil)
			if err != nil {
				return err
			}
			name := archiveName(l) + f.Extension
			file, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: list.At})
			if err != nil {
				return err
			}
			if _, err := file.Write(f.Data); err != nil {
				return err
			}
			table = append(table, []string{name, publish.SpreadsheetCell(l.DisplayName), string(l.State), dateOf(l.Deadline),
				l.New.Fingerprint, l.Old.Fingerprint})
		}
	}
	file, err := archive.CreateHeader(&zip.FileHeader{Name: "certificates.csv", Method: zip.Deflate, Modified: list.At})
	if err != nil {
		return err
	}
	rows := csv.NewWriter(file)
	rows.Write([]string{"file", "tenant", "state", "deadline", "sha256", "sha256_before"}) // Flush reports errors
	rows.WriteAll(table)
	return errors.Join(rows.Error(), archive.Close())
}

// archiveName returns the name of a certificate's file, without its extension.
func archiveName(l parties.Line) string {
	name := l.Tenant
	if l.Credential != tenancy.ForTenant {
		name += "-" + string(l.Credential)
	}
	return fmt.Sprintf("%s-generation-%d", name, l.New.Generation)
}

// dateOf returns the date of an instant; empty for the zero time.
func dateOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
