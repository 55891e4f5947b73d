package sim

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/perennial-pki/perennial/internal/lab/picture"
	"github.com/perennial-pki/perennial/policy"
)

// Table prints a comparison of results.
func Table(w io.Writer, c Config, all []*Result) error {
	first := all[0]
	fmt.Fprintf(w, "%d tenants with %d arrangements for %d years from %s, seed %d. Receivers: %s accept every "+
		"certificate of the CA, %s\nof the subject, %s what is installed. Administrators act %s to %s after the notice, %s "+
		"of them only when messages fail;\n%s add the new certificate, %s replace the old one. Messages: one every %s for "+
		"each arrangement, %s in all.\n%s\n",
		first.Tenants, first.Arrangements, first.Years, c.Start.Format("2006-01-02"), c.Seed, percent(c.Receivers.CA),
		percent(c.Receivers.Subject), percent(c.Receivers.Pin),
		policy.FormatDuration(c.ReactionMin), policy.FormatDuration(c.ReactionMax), percent(c.Idle), percent(c.Orders.Add),
		percent(c.Orders.Replace), policy.FormatDuration(c.Interval), grouped(first.Messages),
		c.Receivers.withoutPeople())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "POLICY\tVALIDITY\tSTRATEGY\tRENEWALS\tWARNED\tFAILED\tBY RENEWAL\tALTHOUGH ACCEPTED\tHOURS OF "+
		"OUTAGE\tCUT-OVERS\tTASKS\tMAILS\t")
	for _, r := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t\n", r.Policy, r.Validity, r.Strategy, r.Renewals,
			percent(float64(r.WarnedRenewals)/float64(max(1, r.Renewals))),
			grouped(r.Failed), grouped(r.FailedByRenewal), grouped(r.FailedWhileAccepted), grouped(int64(r.OutageHours)),
			r.CutOvers, r.Tasks, r.Mails)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	writeHeld(w, all)
	writeReady(w, c, all)
	_, err := fmt.Fprint(w, "\nBY RENEWAL: failed messages that would have been delivered without the renewal. ALTHOUGH "+
		"ACCEPTED: failed although the receiver\naccepted a valid certificate of the tenant at that instant; always 0 for "+
		"adaptive. The other messages failed because the new\ncertificate was not installed before the old one expired.\n")
	return err
}

// withoutPeople describes the receivers that accept a new certificate without a person; empty if there are none.
func (r Receivers) withoutPeople() string {
	if r.Follow+r.Guard == 0 {
		return ""
	}
	return fmt.Sprintf("%s of the receivers follow a feed, and %s are behind a guard.\n", percent(r.Follow),
		percent(r.Guard))
}

// writeHeld states how many certificates guards held, if there are some.
func writeHeld(w io.Writer, all []*Result) {
	for _, r := range all {
		if r.Held > 0 {
			fmt.Fprintf(w, "\n%s with %s certificates under %s: guards held %d certificates until a person had accepted "+
				"them.\n", r.Strategy, r.Validity, r.Policy, r.Held)
		}
	}
}

// writeReady states how many receivers were ready 30 days before the expiry of the old certificate.
func writeReady(w io.Writer, c Config, all []*Result) {
	how := map[Notified]string{AtOnce: "Administrators are notified when the key users are.",
		Mailed: "The service mails the administrators."}[cmp.Or(c.Notified, AtOnce)]
	if c.Notified == Forwarded {
		how = fmt.Sprintf("Key users forward the notice after %s to %s, and never forward %s of them.",
			policy.FormatDuration(c.ForwardMin), policy.FormatDuration(c.ForwardMax), percent(c.Forgotten))
	}
	fmt.Fprintf(w, "\n%s Ready 30 days before the old certificate expired,\nof the receivers with a certificate to "+
		"install:", how)
	for i, r := range all {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, " %s (%s, %s)", percent(float64(r.ReadyAtThirtyDays)/float64(max(1, r.AtThirtyDays))), r.Strategy,
			r.Policy)
	}
	fmt.Fprintln(w, ".")
}

func percent(share float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", 100*share), ".0") + " %"
}

// grouped returns a number with separated thousands.
func grouped(n int64) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Picture draws the failed messages of each month as SVG, with a row for each result on the same scale.
func Picture(w io.Writer, c Config, all []*Result) error {
	const left, right, top, row, gap, width = 210, 220, 84, 74, 22, 760
	months := len(all[0].FailedByMonth)
	most := int64(1)
	for _, r := range all {
		most = max(most, slices.Max(r.FailedByMonth))
	}
	height := top + len(all)*(row+gap) + 40
	x := func(month int) float64 { return left + float64(month)*float64(width)/float64(months) }
	const title = "Failed messages by month"
	p := picture.New(left+width+right, height, title, title, described(all))
	p.Draw(`<text x="20" y="48">%d tenants, %d arrangements, %s messages in each row; highest bar: %s messages`+
		`</text>`+"\n", all[0].Tenants, all[0].Arrangements, grouped(all[0].Messages), grouped(most))
	for i, r := range all {
		y := top + i*(row+gap)
		p.Draw(`<text x="20" y="%d" font-weight="bold">%s</text><text x="20" y="%d">%s</text><text x="20"`+
			` y="%d">%s certificates</text>`+"\n",
			y+22, r.Strategy, y+40, html.EscapeString(r.Policy), y+58, r.Validity)
		for m, n := range r.FailedByMonth {
			if n > 0 {
				h := max(1, float64(row)*float64(n)/float64(most))
				p.Draw(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#c0392b"><title>%s: %s failed`+
					`</title>`+
					`</rect>`+"\n", x(m)+1, float64(y+row)-h, x(1)-x(0)-2, h, c.Start.AddDate(0, m, 0).Format("January 2006"),
					grouped(n))
			}
		}
		p.Draw(`<line x1="%d" x2="%d" y1="%[3]d" y2="%[3]d" stroke="#333"/><text x="%[4]d"`+
			` y="%[5]d" font-weight="bold">%[6]s failed</text><text x="%[4]d" y="%[7]d">%[8]s although accepted</text><text`+
			` x="%[4]d" y="%[9]d">%[10]s hours of outage</text>`+"\n",
			left, left+width, y+row, left+width+14, y+22, grouped(r.Failed), y+40, grouped(r.FailedWhileAccepted), y+58,
			grouped(int64(r.OutageHours)))
	}
	for m := 0; m <= months; m += 12 {
		p.Draw(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", x(m), height-18,
			c.Start.AddDate(0, m, 0).Format("2006-01"))
	}
	_, err := p.WriteTo(w)
	return err
}

// described returns a text alternative of the picture.
func described(all []*Result) string {
	parts := make([]string, len(all))
	for i, r := range all {
		parts[i] = fmt.Sprintf("%s under %s with %s certificates: %s of %s messages failed, %s of them although the "+
			"receiver accepted a certificate", r.Strategy, r.Policy, r.Validity, grouped(r.Failed), grouped(r.Messages),
			grouped(r.FailedWhileAccepted))
	}
	return strings.Join(parts, "; ") + "."
}
