package control

import (
	"cmp"
	"context"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/gateway"
	"github.com/perennial-pki/perennial/internal/engine/standing"
	"github.com/perennial-pki/perennial/tenancy"
)

// Handler answers remote gateways, below [Path]. The caller has authorized the request.
type Handler struct {
	// Control is the control of a gateway in this process.
	Control gateway.Control
	// KeysStay keeps private keys from gateways, for which the service signs then. Keys in tokens always stay.
	KeysStay bool
	// CopyFor limits the use of a copy of a key that stays: the time after the last answer of the service. If it is 0,
	// gateways get no copies. There are none of keys in tokens.
	CopyFor time.Duration
	// Ending is done when the service is about to end: streams end then.
	Ending context.Context
	Log    *slog.Logger
}

// operations are the calls of a gateway, by the last element of the path.
var operations = map[string]func(h Handler, ctx context.Context, body io.Reader) (any, error){
	"standing": operation(Handler.standing),
	"sign":     operation(Handler.sign),
	"token": operation(func(h Handler, ctx context.Context, hash string) (wireToken, error) {
		t, err := h.Control.Token(ctx, hash)
		return toToken(t), err
	}),
	"observe": operation(func(h Handler, ctx context.Context, in observeRequest) (nothing, error) {
		return nothing{}, h.Control.Observe(ctx, in.ArrangementID, convert(in.Seen, wireObservation.value))
	}),
	"record": operation(func(h Handler, ctx context.Context, in []wireMessage) (nothing, error) {
		return nothing{}, h.Control.Record(ctx, convert(in, wireMessage.value))
	}),
	"park": operation(func(h Handler, ctx context.Context, in parkRequest) (wireParked, error) {
		p, err := h.Control.Park(ctx, in.Parked.value(), in.Request)
		return toParked(p), err
	}),
	"reserve-parked": operation(func(h Handler, ctx context.Context, in wireParked) (wireParked, error) {
		p, err := h.Control.ReserveParked(ctx, in.value())
		return toParked(p), err
	}),
	"add-parked-chunk": operation(func(h Handler, ctx context.Context, in parkedChunk) (nothing, error) {
		return nothing{}, h.Control.AddParkedChunk(ctx, in.Parked.value(), in.part())
	}),
	"parked-chunk": operation(func(h Handler, ctx context.Context, in parkedChunk) (out parkedChunk, err error) {
		out.Data, err = h.Control.ParkedChunk(ctx, in.Parked.value(), in.N)
		return out, err
	}),
	"drop-parked": operation(func(h Handler, ctx context.Context, in wireParked) (nothing, error) {
		return nothing{}, h.Control.DropParked(ctx, in.value())
	}),
	"parked": operation(func(h Handler, ctx context.Context, in parkedRequest) (wireParked, error) {
		p, err := h.Control.Parked(ctx, in.ArrangementID, in.ID)
		return toParked(p), err
	}),
	"due-parked": operation(func(h Handler, ctx context.Context, in dueParkedRequest) ([]wireParked, error) {
		due, err := h.Control.DueParked(ctx, in.Now, min(in.Limit, mostDue))
		return convert(due, toParked), err
	}),
	"parked-address": operation(func(h Handler, ctx context.Context, in wireParked) (out parkedAddressAnswer, err error) {
		out.Tenant, out.Arrangement, out.Timeout, err = h.Control.ParkedAddress(ctx, in.value())
		return out, err
	}),
	"claim-parked": operation(func(h Handler, ctx context.Context, in claimParkedRequest) (out claimParkedAnswer,
		err error) {
		out.Claimed, out.Request, err = h.Control.ClaimParked(ctx, in.Parked.value(), in.Until)
		return out, err
	}),
	"update-parked": operation(func(h Handler, ctx context.Context, in wireParked) (nothing, error) {
		return nothing{}, h.Control.UpdateParked(ctx, in.value())
	}),
}

// mostOf limits the request of an operation. One gateway must not fill the memory of the service.
func mostOf(operation string) int64 {
	switch operation {
	case "park": // of earlier gateways, with the whole body of a message
		return mostBytes
	case "standing", "sign", "token":
		return 1 << 20
	}
	return 64 << 20
}

// mostDue limits the waiting messages in one answer.
const mostDue = 1000

func operation[I, O any](do func(Handler, context.Context, I) (O, error)) func(Handler, context.Context,
	io.Reader) (any, error) {
	return func(h Handler, ctx context.Context, body io.Reader) (any, error) {
		var in I
		if err := json.NewDecoder(body).Decode(&in); err != nil {
			return nil, tenancy.Errorf(tenancy.ErrInvalid, "invalid request of a gateway: %v", err)
		}
		return do(h, ctx, in)
	}
}

func (h Handler) standing(ctx context.Context, in standingRequest) (out standingAnswer, err error) {
	to, err := kem.NewPublicKey(in.SealTo)
	if err != nil {
		return out, tenancy.Errorf(tenancy.ErrInvalid, "the gateway's public key is invalid")
	}
	s, identities, err := h.Control.Standing(ctx, in.Tenant, in.Arrangement)
	if err != nil {
		return out, err
	}
	out.Standing = toStanding(s)
	for _, id := range identities {
		sealed, err := h.identity(to, s.Arrangement.ID, id)
		if err != nil {
			return out, err
		}
		out.Identities = append(out.Identities, sealed)
	}
	return out, nil
}

// identity returns a generation for a gateway: with its key sealed to the process, unless the key stays.
func (h Handler) identity(to hpke.PublicKey, arrangementID string, id standing.Identity) (s sealedIdentity,
	err error) {
	stays := h.KeysStay || id.KeyStays
	if id.KeyStays || stays && h.CopyFor == 0 {
		return sealedIdentity{Generation: id.Generation, Chain: id.Certificate.Certificate, Remote: true}, nil
	}
	s, err = sealIdentity(to, arrangementID, id)
	if stays {
		s.Remote, s.CopyFor = true, h.CopyFor
	}
	return s, err
}

func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, Path)
	if err := checkVersion(r.Header); err != nil {
		answerError(w, http.StatusBadRequest, "the gateway is newer than the service, so update the service first: "+
			err.Error())
		return
	}
	w.Header().Set(versionHeader, strconv.Itoa(version))
	if name == "changes" && r.Method == http.MethodGet {
		h.changes(w, r)
		return
	}
	do, ok := operations[name]
	if !ok || r.Method != http.MethodPost {
		answerError(w, http.StatusNotFound, "unknown operation: the gateway may be newer than the service")
		return
	}
	out, err := do(h, r.Context(), http.MaxBytesReader(w, r.Body, mostOf(name)))
	if err != nil {
		status := statusOf(err)
		if status == http.StatusInternalServerError && r.Context().Err() == nil {
			h.Log.ErrorContext(r.Context(), "a gateway could not be answered", "operation", name, "error", err)
			err = errors.New("the service cannot answer at the moment: see its log")
		}
		answerError(w, status, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out)
}

// kinds are the errors on which a gateway's decisions depend, with the status that carries them.
var kinds = map[int]error{
	http.StatusNotFound: tenancy.ErrNotFound, http.StatusConflict: tenancy.ErrRefused,
	http.StatusUnprocessableEntity: tenancy.ErrInvalid, http.StatusPreconditionFailed: tenancy.ErrStale,
	http.StatusGone: tenancy.ErrConflict, http.StatusInsufficientStorage: tenancy.ErrQuota,
}

func statusOf(err error) int {
	for status, kind := range kinds {
		if errors.Is(err, kind) {
			return status
		}
	}
	return http.StatusInternalServerError
}

type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func answerError(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{http.StatusText(status), status, detail})
}

// anything is the line for a change that may concern any tenant.
const anything = "*"

// changes streams a line with the tenant's ID for each change, until the gateway disconnects. An empty line is a sign
// of life.
func (h Handler) changes(w http.ResponseWriter, r *http.Request) {
	answer := http.NewResponseController(w)
	answer.SetReadDeadline(time.Time{}) // the server's would end the stream
	news, tooMany := make(chan string, 256), make(chan struct{})
	overflow := sync.OnceFunc(func() { close(tooMany) })
	stop := h.Control.OnChange(func(tenantID string) {
		select {
		case news <- cmp.Or(tenantID, anything):
		default:
			overflow()
		}
	})
	defer stop()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	life := time.NewTicker(heartbeat)
	defer life.Stop()
	for line := ""; ; {
		if _, err := fmt.Fprintln(w, line); err != nil || answer.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-h.Ending.Done():
			return
		case <-tooMany: // the gateway connects again, and reads everything again
			return
		case <-life.C:
			line = ""
		case line = <-news:
		}
	}
}
