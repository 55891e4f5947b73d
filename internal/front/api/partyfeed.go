package api

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/engine/parties"
	"github.com/perennial-pki/perennial/internal/feed"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/tenancy"
)

// mostPartyReport limits a report about the entries of a counterparty's feed, in bytes.
const mostPartyReport = 256 << 10

// serveIndex serves the index of a counterparty's feed, signed or for a person.
func (s *server) serveIndex(w http.ResponseWriter, r *http.Request, form publish.FeedFile) {
	p, err := s.feeds.ReadIndex(r.Context(), feedAddress(r), s.clock())
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	content := publish.PartyFeedIndex(p.Index)
	if form.Name == publish.SignedFeed {
		signed, err := p.Sign()
		if err != nil {
			s.feedFailed(w, r, err)
			return
		}
		content = []byte(signed)
		if r.Method == http.MethodGet {
			// It may be read even if that fails.
			if err := s.feeds.RecordIndexFetch(r.Context(), p, r.UserAgent(), s.now()); err != nil {
				s.log.WarnContext(r.Context(), "a fetch of a feed was not recorded", "counterparty", p.Party.Name, "error", err)
			}
		}
	}
	s.serveContent(w, r, form.ContentType, content)
}

// serveIndexPage serves a page of the index of a counterparty's feed.
func (s *server) serveIndexPage(w http.ResponseWriter, r *http.Request) {
	p, err := s.feeds.ReadIndex(r.Context(), feedAddress(r), s.clock())
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	n, err := strconv.Atoi(r.PathValue("page"))
	if err != nil || n < 0 || n >= len(p.Pages) {
		writeProblem(w, http.StatusNotFound, fmt.Sprintf("the index has the pages 0 to %d", len(p.Pages)-1))
		return
	}
	s.serveContent(w, r, "application/json", p.Pages[n])
}

// serveDocuments serves the signed documents of some entries of a counterparty's feed. Each counts as a fetch.
func (s *server) serveDocuments(w http.ResponseWriter, r *http.Request) {
	ids := r.URL.Query()["id"]
	if len(ids) == 0 || len(ids) > feed.MaxDocuments {
		writeProblem(w, http.StatusBadRequest, fmt.Sprintf("name 1 to %d entries: documents?id=ID&id=ID", feed.MaxDocuments))
		return
	}
	all, err := s.feeds.ReadEntries(r.Context(), feedAddress(r), ids, s.clock())
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	out, size := feed.SignedDocuments{Documents: []feed.SignedDocument{}}, 0
	for _, p := range all {
		signed, err := p.Sign(p.Document)
		if err != nil {
			s.log.ErrorContext(r.Context(), "a document of a feed cannot be signed", "arrangement", p.Standing.Name(), "error",
				err)
			continue
		}
		if size += len(signed); size > feed.MaxDocumentsSize {
			break
		}
		s.recordFetch(r, p)
		out.Documents = append(out.Documents, feed.SignedDocument{ID: p.Feed.ArrangementID, Document: signed})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out)
}

// serveEntry serves a form of an entry of a counterparty's feed.
func (s *server) serveEntry(w http.ResponseWriter, r *http.Request, form publish.FeedFile) {
	p, err := s.feeds.ReadEntry(r.Context(), feedAddress(r), r.PathValue("entry"), s.clock())
	s.servePublication(w, r, form, p, err)
}

// entryInstalled takes a report about an entry of a counterparty's feed.
func (s *server) entryInstalled(w http.ResponseWriter, r *http.Request) {
	p, err := s.feeds.ReadEntry(r.Context(), feedAddress(r), r.PathValue("entry"), s.clock())
	s.publicationInstalled(w, r, p, err)
}

// partyInstalled takes a report about many entries of a counterparty's feed. The receivers are tested in the
// background, as for the page of the counterparty, and a generation that is not refused then is claimed.
func (s *server) partyInstalled(w http.ResponseWriter, r *http.Request) {
	a := feedAddress(r)
	if _, err := s.feeds.Counterparty(r.Context(), a); err != nil { // before the body is read
		s.feedFailed(w, r, err)
		return
	}
	var report feed.Report
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostPartyReport)).Decode(&report); err != nil ||
		len(report.Entries) == 0 || len(report.Entries) > feed.MaxReports {
		writeProblem(w, http.StatusBadRequest, fmt.Sprintf(`send JSON such as {"program":"script","entries":[{"id":"ID",`+
			`"sequence":1,"generations":[2,3]}]}, with at most %d entries and %d KiB`, feed.MaxReports, mostPartyReport>>10))
		return
	}
	tests, err := s.recordPartyReport(r, a, report)
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]int{"tests": tests})
}

// recordPartyReport records a report, and has the receivers tested that something is open for. It returns the number of
// tests.
func (s *server) recordPartyReport(r *http.Request, a feeds.Address, report feed.Report) (tests int, err error) {
	ctx, program := r.Context(), feeds.Program(report.Program)
	c, err := s.feeds.RecordReport(ctx, a, program, s.now())
	if err != nil {
		return 0, err
	}
	of := map[string]feed.InstalledEntry{}
	ids := make([]string, 0, len(report.Entries))
	for _, e := range report.Entries {
		if _, twice := of[e.ID]; !twice {
			ids = append(ids, e.ID)
		}
		of[e.ID] = e
	}
	var wanted []tenancy.CounterpartyQuestion
	entries, err := s.feeds.ReadEntries(ctx, a, ids, s.clock())
	if err != nil {
		return 0, err
	}
	for _, p := range entries {
		e := of[p.Feed.ArrangementID]
		if err := s.feeds.RecordInstalled(ctx, p, tenancy.FeedReport{At: s.now(),
			Sequence: int64(min(e.Sequence, math.MaxInt64)), Program: program}, e.Generations); err != nil {
			return 0, err
		}
		state, risk := parties.StateOf(p.Standing, s.clock())
		if state.Open() && state != parties.Claimed && slices.Contains(e.Generations, risk.Wanted) {
			wanted = append(wanted, tenancy.CounterpartyQuestion{ArrangementID: p.Feed.ArrangementID, CounterpartyID: c.ID,
				Generation: risk.Wanted, Claimed: true, WantedAt: s.now()})
		}
	}
	if s.questions == nil && len(wanted) > 0 { // the follower repeats its report
		return 0, tenancy.Errorf(tenancy.ErrRefused, "this service tests no receivers: try again at its main address")
	}
	if wanted, err = s.newTests(ctx, wanted); err != nil {
		return 0, err
	}
	for part := range slices.Chunk(wanted, testsPerWrite) {
		if err := s.wantTests(ctx, c, feeds.PartyActor(c), part, true, &tests); err != nil {
			return tests, err
		}
	}
	return tests, nil
}
