package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/perennial-pki/perennial/internal/engine/feeds"
	"github.com/perennial-pki/perennial/internal/front/faults"
	"github.com/perennial-pki/perennial/internal/front/publish"
	"github.com/perennial-pki/perennial/internal/front/words"
	"github.com/perennial-pki/perennial/rollover"
	"github.com/perennial-pki/perennial/tenancy"
)

// feedsPath is the path prefix of feeds. The secret in an address stands for a token.
const feedsPath = "/feeds/"

const (
	// mostReport limits a report of a follower, in bytes: 64 generations and the name of a program.
	mostReport = 4 << 10
	// claimAgain is the time after which a repeated report about the same generation is a new claim.
	claimAgain = time.Hour
)

// handleFeeds registers the addresses of feeds, which receivers fetch: those of arrangements, and those of
// counterparties with an entry for each arrangement.
func (s *server) handleFeeds(mux *http.ServeMux) {
	const address = feedsPath + "{secret}/{thumbprint}/"
	const entry = address + "entries/{entry}/"
	for _, form := range append(publish.FeedFiles(), publish.FeedIndex) {
		name := form.Name
		if name == "" {
			name = "{$}"
		}
		mux.HandleFunc("GET "+address+name, func(w http.ResponseWriter, r *http.Request) { s.serveFeed(w, r, form) })
		mux.HandleFunc("GET "+entry+name, func(w http.ResponseWriter, r *http.Request) { s.serveEntry(w, r, form) })
	}
	mux.HandleFunc("POST "+address+"installed", s.feedInstalled)
	mux.HandleFunc("POST "+entry+"installed", s.entryInstalled)
	mux.HandleFunc("GET "+address+"pages/{page}", s.serveIndexPage)
	mux.HandleFunc("GET "+address+"documents", s.serveDocuments)
}

func feedAddress(r *http.Request) feeds.Address {
	return feeds.Address{Secret: r.PathValue("secret"), Thumbprint: r.PathValue("thumbprint")}
}

// serveFeed serves a form of an arrangement's feed, or the index of a counterparty's feed.
func (s *server) serveFeed(w http.ResponseWriter, r *http.Request, form publish.FeedFile) {
	p, err := s.feeds.Read(r.Context(), feedAddress(r), s.clock())
	if errors.Is(err, tenancy.ErrNotFound) && (form.Name == publish.SignedFeed || form.Name == "") {
		s.serveIndex(w, r, form)
		return
	}
	s.servePublication(w, r, form, p, err)
}

// servePublication serves a form of what was read. A GET of a form that lists the certificates counts as a fetch, also
// if the answer is that the content has not changed.
func (s *server) servePublication(w http.ResponseWriter, r *http.Request, form publish.FeedFile, p feeds.Publication,
	err error) {
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	content, err := form.Render(publish.Feed{Document: p.Document, Sign: p.Sign})
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	if form.ListsCertificates {
		s.recordFetch(r, p)
	}
	s.serveContent(w, r, form.ContentType, content)
}

// recordFetch records a fetch with GET. A failure is logged, because the content may be read nevertheless.
func (s *server) recordFetch(r *http.Request, p feeds.Publication) {
	if r.Method != http.MethodGet {
		return
	}
	if err := s.feeds.RecordFetch(r.Context(), p, r.UserAgent(), s.now()); err != nil {
		s.log.WarnContext(r.Context(), "a fetch of a feed was not recorded", "arrangement", p.Standing.Name(), "error", err)
	}
}

// serveContent serves a content that can be cached until the next fetch.
func (s *server) serveContent(w http.ResponseWriter, r *http.Request, contentType string, content []byte) {
	sum := sha256.Sum256(content)
	w.Header().Set("ETag", strconv.Quote(hex.EncodeToString(sum[:])))
	w.Header().Set("Cache-Control", fmt.Sprintf("private, max-age=%d", int(feeds.RefreshHint/time.Second)))
	w.Header().Set("Content-Type", contentType)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// feedFailed answers every address that is not valid in the same way.
func (s *server) feedFailed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, tenancy.ErrNotFound):
		writeProblem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, tenancy.ErrRefused): // there is no certificate to publish
		w.Header().Set("Retry-After", strconv.Itoa(int(feeds.RefreshHint/time.Second)))
		writeProblem(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, context.Canceled):
		writeProblem(w, http.StatusServiceUnavailable, "the request was cancelled before it was completed")
	default:
		faults.Log(r.Context(), s.log, "a feed failed", err)
		writeProblem(w, http.StatusInternalServerError, "the feed is not available now: try again later")
	}
}

// A feedReport is the report of a follower that it has installed generations.
type feedReport struct {
	Sequence    uint64 `json:"sequence"`
	Generations []int  `json:"generations"`
	Program     string `json:"program"`
}

// A feedResult is what is known of a reported generation.
type feedResult struct {
	Generation int    `json:"generation"`
	Result     string `json:"result"` // "accepted" or "refused" if that is proved, otherwise "claimed"
	Answer     string `json:"answer,omitempty"`
}

// feedInstalled takes a report of a follower about an arrangement's feed, or about entries of a counterparty's feed.
func (s *server) feedInstalled(w http.ResponseWriter, r *http.Request) {
	p, err := s.feeds.Read(r.Context(), feedAddress(r), s.clock())
	if errors.Is(err, tenancy.ErrNotFound) {
		s.partyInstalled(w, r)
		return
	}
	s.publicationInstalled(w, r, p, err)
}

// publicationInstalled takes a report about what was read.
func (s *server) publicationInstalled(w http.ResponseWriter, r *http.Request, p feeds.Publication, err error) {
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	var report feedReport
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostReport)).Decode(&report); err != nil ||
		len(report.Generations) == 0 {
		writeProblem(w, http.StatusBadRequest, `send JSON such as {"sequence":1,"generations":[2,3],"program":"script"}, `+
			"of at most 4 KiB")
		return
	}
	program := feeds.Program(report.Program)
	results, err := s.claimInstalled(r.Context(), p, report.Generations, program)
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	var installed []int // what the receiver does not contradict
	for _, result := range results {
		if result.Result != string(rollover.Refused) {
			installed = append(installed, result.Generation)
		}
	}
	err = s.feeds.RecordInstalled(r.Context(), p, tenancy.FeedReport{At: s.now(),
		Sequence: int64(min(report.Sequence, math.MaxInt64)), Program: program}, installed)
	if err != nil {
		s.feedFailed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string][]feedResult{"generations": results})
}

// claimInstalled claims for the roll-over that the receiver has installed generations, as its administrator would. The
// receiver is asked first, if the arrangement has a question. Generations that it is known to accept are not claimed,
// nor those that were claimed within [claimAgain]. Generations that the feed does not list, or that are retired, are
// left out.
func (s *server) claimInstalled(ctx context.Context, p feeds.Publication, generations []int,
	program string) ([]feedResult, error) {
	results := []feedResult{}
	current := p.Standing
	answers := map[int]rollover.Verdict{} // to the questions of this report
	for _, c := range slices.Backward(p.Document.Certificates) {
		known, inReach := current.Rollover.Generation(c.Generation)
		if !inReach || !slices.Contains(generations, c.Generation) {
			continue
		}
		recent := known.ClaimedAt.After(known.VerdictAt) && s.clock().Sub(known.ClaimedAt) < claimAgain
		result := feedResult{Generation: c.Generation, Result: "claimed"}
		if known.Verdict != rollover.Accepted && !recent && answers[c.Generation] != rollover.Refused {
			claim, after, err := s.prober().Confirm(ctx, current, c.Generation, p.Actor(), program+" reports it as installed")
			if err != nil {
				return nil, err
			}
			current = after
			for _, a := range claim.Answers.Results {
				answers[a.Generation] = a.Verdict
			}
			result.Answer = words.Say(ctx, claim.Detail)
			known, _ = current.Rollover.Generation(c.Generation)
		}
		switch {
		case answers[c.Generation] == rollover.Refused:
			result.Result = string(rollover.Refused)
		case known.Verdict == rollover.Accepted:
			result.Result = string(rollover.Accepted)
		}
		results = append(results, result)
	}
	return results, nil
}
