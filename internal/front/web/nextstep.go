package web

import (
	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

// turnOf names the actor whose turn it is.
func (v *view) turnOf(turn string) string {
	switch turn {
	case client.TurnReceiver:
		return v.T("administrator of the receiver")
	case client.TurnOwner:
		return v.T("key users")
	case client.TurnNone:
		return v.T("nobody")
	}
	return v.T("hosting team")
}

// whoseTurn names the actor of the next step of an arrangement, with the person if one is known.
func (v *view) whoseTurn(r roll) string {
	who := v.turnOf(r.rollover.Next.Turn)
	if r.rollover.Next.Turn == client.TurnReceiver && r.receiver.ContactName != "" {
		who += " (" + r.receiver.ContactName + ")"
	}
	return who
}

// advice explains the next step, which the API decides.
func (v *view) advice(r roll) string {
	roll := *r.rollover
	newest := newestOf(roll)
	if text := v.adviceIfMailed(r); text != "" {
		return text
	}
	switch roll.Next.Reason {
	case "stopped":
		return v.T("The certificate is revoked, and no message can be sent until the CA issues the next one. The page of " +
			"the certificates shows the request. If there is none, renew the certificate.")
	case "exposed-refused":
		return v.T("Messages are sent with generation %d only, and the receiver refuses it. Create a link and send it "+
			"to its administrator now.", newest.Generation)
	case "exposed":
		return v.T("Messages are sent with generation %d only, and the receiver is not known to accept it. Test the "+
			"receiver. If it refuses the certificate, create a link and send it to its administrator.", newest.Generation)
	case "survives":
		return v.T("The receiver checks %s. That stays the same, so nothing has to be installed. The test confirms this.",
			v.identifies(roll.Renewal.IdentifiesBy))
	case "test-unclear":
		return v.T("The test proves nothing: %s. Choose another test (now %s) that the receiver answers only if it accepts "+
			"the certificate, or create a link and send it to its administrator.", newest.Answer,
			r.arrangement.Egress.Probe.Method+" "+r.arrangement.Egress.Probe.Path)
	case "message-unclear":
		return v.T("Messages with generation %d got an answer that may be a refusal: %s. Give the arrangement a test "+
			"path, or add the rule.", newest.Generation, newest.Answer)
	case "claimed":
		return v.T("A person reports generation %d as installed, but nothing proves it yet. Test the receiver. Messages "+
			"that it refuses are sent with an older generation.", newest.Generation)
	case "cut-over-unproved":
		return v.T("Generation %d is tried first, and the receiver is not known to accept it. Until %s, messages that it "+
			"refuses are sent with an older generation. Test the receiver.", newest.Generation, v.Day(roll.Deadline))
	}
	return v.calmAdvice(roll, newest)
}

// mailed reports whether the service mailed the newest certificate to the receiver's administrator.
func (r roll) mailed() bool {
	a := r.administrator
	return a != nil && a.StoppedAt.IsZero() && a.Failure == "" && !a.SentAt.IsZero() &&
		!a.SentAt.Before(r.newest.NotBefore)
}

// adviceIfMailed explains a next step that would be a link from a key user, if the administrator has one from the
// service. It is empty for another step.
func (v *view) adviceIfMailed(r roll) string {
	if !r.mailed() || r.rollover.Next.Action != client.ActionLink {
		return ""
	}
	newest, day := newestOf(*r.rollover), v.Day(r.administrator.SentAt)
	switch r.rollover.Next.Reason {
	case "exposed-refused":
		return v.T("Messages are sent with generation %d only, and the receiver refuses it. Its administrator was mailed "+
			"on %s: call them now.", newest.Generation, day)
	case "refused":
		return v.T("The receiver does not accept generation %d yet. Its administrator was mailed on %s, and is reminded. "+
			"Until then, messages use the old certificate.", newest.Generation, day)
	case "test-unclear":
		return ""
	}
	return v.T("The receiver's administrator was mailed the new certificate on %s, and is reminded. Until it is "+
		"installed, messages use the old one.", day)
}

// calmAdvice explains a next step that is part of every roll-over.
func (v *view) calmAdvice(roll client.Rollover, newest client.RolloverKnowledge) string {
	switch roll.Next.Reason {
	case "settled":
		return v.T("Messages are sent with generation %d.", roll.Presents)
	case "cut-over":
		return v.T("Generation %d is in use. The old one stays available until the receiver has not needed it for "+
			"28 days.", roll.Presents)
	case "choose":
		return v.T("The receiver accepts generation %d. Switch to it whenever you like.", newest.Generation)
	case "choose-later":
		return v.T("The receiver accepts generation %d. You can switch to it from %s on, when the notice to the key users "+
			"ends. Messages that the receiver refuses before are sent with it.", newest.Generation,
			v.Day(newest.NoticedUntil))
	case "ready":
		return v.T("The receiver accepts generation %d. Messages use it as soon as they need it.", newest.Generation)
	case "ready-later":
		if roll.Strategy == tenancy.Immediate {
			return v.T("The receiver accepts generation %d. Messages are sent with it from %s on, when the notice to the key "+
				"users ends. If the receiver refuses them before, switch to it, or to the strategy adaptive.",
				newest.Generation, v.Day(newest.NoticedUntil))
		}
		return v.T("The receiver accepts generation %d. It is presented from %s on, when the notice to the key users ends. "+
			"Messages that the receiver refuses before are sent with it.", newest.Generation, v.Day(newest.NoticedUntil))
	case "regressed":
		return v.T("The receiver accepts only the old certificate again, and messages use it. Ask its administrator "+
			"to install generation %d again.", newest.Generation)
	case "refused":
		return v.T("The receiver does not accept generation %d yet. Create a link and send it to its "+
			"administrator. Until then, messages use the old certificate.", newest.Generation)
	}
	return v.T("Create a link and send it to the receiver's administrator. It leads to the new certificate. " +
		"Until it is installed, messages use the old one.")
}

// offersLink reports whether a link, or a report by hand, can help the roll-over.
func offersLink(r client.Rollover) bool {
	return len(r.Generations) > 1 && !r.Stopped && newestOf(r).Verdict != "accepted"
}
