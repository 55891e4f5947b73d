package outbound

import "github.com/perennial-pki/perennial/rollover"

// A Trial states whether the generation of a message has been accepted before.
type Trial int

const (
	// First is a generation of an arrangement none of whose generations is known to be accepted. Unless successes are
	// already known, its successes define the form of a success.
	First Trial = iota
	// Proven is a generation that the receiver is known to accept.
	Proven
	// Unproven is any other generation of an arrangement with an accepted one.
	Unproven
)

// TrialOf returns the trial of a generation in a roll-over.
func TrialOf(r rollover.Rollover, generation int) Trial {
	g, _ := r.Generation(generation)
	if g.Verdict == rollover.Accepted {
		return Proven
	}
	for _, other := range r.Generations {
		if other.Verdict == rollover.Accepted && !other.Revoked {
			return Unproven
		}
	}
	return First
}

// Conclusion is the consequence of the answer to a message.
type Conclusion int

const (
	// NoConclusion: the answer proves nothing, and a comparison would not help.
	NoConclusion Conclusion = iota
	// Accepts: the receiver accepts the generation.
	Accepts
	// Refuses: the receiver refuses the generation.
	Refuses
	// Closes: the receiver closed the connection, which must be examined.
	Closes
	// Doubtful: the answer may be a refusal in another form, so that it must be compared with the answer to another
	// generation.
	Doubtful
)

// OfMessage concludes from the answer to a message. others states whether the answer can be compared with the one to
// another generation.
func (k *Kinds) OfMessage(r Reading, t Trial, others bool) Conclusion {
	switch {
	case r.Meaning == Refused:
		return Refuses
	case r.Meaning == Suspicious:
		return Closes
	case r.Meaning == Nothing, r.Kind.Temporary():
		return NoConclusion
	case r.Kind.Succeeds() && (k.known[r.Kind] || k.successes == 0 && t != Unproven ||
		t == Proven && !others && !k.mayBeLogin(r.Kind)):
		return Accepts
	case others:
		return Doubtful
	}
	return NoConclusion
}

// mayBeLogin reports whether a success may be a login page: a page of HTML from a receiver whose successes are not. It
// is not recorded without a comparison.
func (k *Kinds) mayBeLogin(one Kind) bool { return one.IsPage() && k.successes > 0 && k.pages == 0 }

// SafelyRefused concludes from the answers to one safe request, which a message caused, with a generation and with
// another one. refused reports whether the receiver refuses the generation. hangs reports whether it does so by not
// answering. A success of another kind than those that are known is a refusal if the other generation gets a known one.
func (k *Kinds) SafelyRefused(asked, other Reading) (hangs, refused bool) {
	hangs = asked.Reason == Unreachable
	failed := asked.Meaning == Answered && other.Kind.Succeeds() && !asked.Kind.Temporary() &&
		(!asked.Kind.Succeeds() || k.known[other.Kind] && !k.known[asked.Kind])
	return hangs, other.Meaning == Answered && (failed || asked.Meaning == Refused || asked.Meaning == Suspicious || hangs)
}

// Compared concludes from the answers to one safe request with two generations, of which a answered first. It returns
// the conclusion for each of them.
func (k *Kinds) Compared(a, b Reading, ofA, ofB Trial) (first, second Conclusion) {
	good := func(r Reading) bool { return r.Meaning == Answered && r.Kind.Succeeds() }
	// usual is a success that the arrangement is known to get, or could be its first one.
	usual := func(r Reading, t Trial) bool {
		return good(r) && (k.known[r.Kind] || t == Proven && k.successes == 0)
	}
	switch {
	case a.Kind.Temporary(), b.Meaning == Answered && b.Kind.Temporary():
		return NoConclusion, NoConclusion
	case a.Meaning == Answered && b.Meaning == Answered && a.Kind == b.Kind:
		if good(a) && (ofA == Proven || ofB == Proven) {
			return Accepts, Accepts
		}
		return NoConclusion, NoConclusion
	case b.Meaning == Refused && good(a):
		return Accepts, Refuses
	case b.Meaning != Answered:
		return NoConclusion, NoConclusion
	case usual(b, ofB) && !usual(a, ofA):
		return Refuses, Accepts
	case good(a) && !good(b) && (usual(a, ofA) || b.Kind.Status < 500): // a fault may pass
		return Accepts, Refuses
	}
	return NoConclusion, NoConclusion
}
