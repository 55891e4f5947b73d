package guard

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/perennial-pki/perennial/acceptance"
	"github.com/perennial-pki/perennial/internal/engine/notify"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// mostInMail limits the certificates that one mail describes. The others follow in the next one.
const mostInMail = 20

// announce logs the first sight of a certificate.
func announce(log *slog.Logger, v Sighting) {
	c, err := v.certificate()
	if err != nil {
		return
	}
	level := slog.LevelInfo
	if v.Standing == Held {
		level = slog.LevelWarn
	}
	log.Log(
		context.Background(),
		level,
		v.sentence(c),
		append([]any{"partner", v.Partner, "standing", v.Standing, "code",
			v.Code}, describe(c)...)...)
}

func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 UTC") }

// sentence states what has happened.
func (v Sighting) sentence(c *x509.Certificate) string {
	switch {
	case v.Standing == Held:
		return fmt.Sprintf("%s presents a certificate that needs your decision (valid until %s): %s", v.Partner,
			moment(c.NotAfter), v.Reason)
	case v.Code == acceptance.IsSuccessor:
		return fmt.Sprintf("%s has renewed its certificate (valid until %s): accepted as successor", v.Partner,
			moment(c.NotAfter))
	}
	return fmt.Sprintf(
		"%s has a new certificate (valid until %s): accepted, because %s",
		v.Partner,
		moment(c.NotAfter),
		v.Reason,
	)
}

// subject is that of a mail about sightings.
func subject(all []Sighting) string {
	held := 0
	for _, v := range all {
		if v.Standing == Held {
			held++
		}
	}
	switch {
	case len(all) == 1 && held == 1:
		return "Action needed: decide about a new certificate of " + all[0].Partner
	case held > 0:
		return fmt.Sprintf("Action needed: decide about %d of %d new certificates of partners", held, len(all))
	case len(all) == 1:
		return all[0].Partner + " has renewed its certificate: accepted, nothing to do"
	}
	return fmt.Sprintf("%d partners' certificates were renewed: accepted, nothing to do", len(all))
}

// body is that of a mail about sightings: what has happened, what to do, how to check, and the data last.
func body(all []Sighting, config string) string {
	var b strings.Builder
	for _, v := range all {
		c, err := v.certificate()
		if err != nil {
			continue
		}
		fingerprint := certfile.Fingerprint(c.Raw)
		short := fingerprint[:16]
		fmt.Fprintf(&b, "%s.\n\n", v.sentence(c))
		if v.Standing == Held {
			fmt.Fprintf(
				&b,
				"Please ask %s, over a channel that you know, whether this certificate is theirs. Then run one of:\n\n"+
					"    perennial guard accept %s --config %s\n    perennial guard refuse %s --config %s\n\n",
				v.Partner,
				short,
				config,
				short,
				config,
			)
		} else {
			fmt.Fprintf(&b, "You have nothing to do: both certificates are accepted until the old one expires.\n"+
				"If this is not a renewal that you expect, run:\n\n    perennial guard refuse %s --config %s\n\n",
				short, config)
		}
		if was, err := x509.ParseCertificate(v.Was); err == nil {
			fmt.Fprintf(&b, "Was: %s\n", data(was))
		}
		fmt.Fprintf(&b, "Is:  %s\n     SHA-256 %s\n\n", data(c), fingerprint)
	}
	b.WriteString("-- \nSent by the guard in front of your system. It never asks for passwords or keys.\n")
	return b.String()
}

// data describes a certificate in a line of a mail.
func data(c *x509.Certificate) string {
	return fmt.Sprintf(
		"serial %s, subject %s, issued by %s, valid until %s",
		hex.EncodeToString(c.SerialNumber.Bytes()),
		shown(c.RawSubject),
		shown(c.RawIssuer),
		moment(c.NotAfter),
	)
}

// mostShown limits a name in a log or a mail, in characters.
const mostShown = 200

// shown returns a distinguished name (DER) for a person. Callers choose it, so it is cut, and characters that would
// change a terminal are replaced.
func shown(name []byte) string {
	all := []rune(certfile.Name(name))
	for i, r := range all {
		if !unicode.IsPrint(r) {
			all[i] = unicode.ReplacementChar
		}
	}
	if len(all) > mostShown {
		return string(all[:mostShown]) + "..."
	}
	return string(all)
}

// mail sends mails about new certificates until the context ends.
func (s *Service) mail(ctx context.Context) {
	tick := time.NewTicker(mailEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.mailDue(ctx); err != nil {
			s.metrics.failed("mail", err)
			s.warn("mail", "cannot send a mail about new certificates: it is sent later", "error", err)
		}
	}
}

// mailDue sends one mail about the certificates that no mail was sent about.
func (s *Service) mailDue(ctx context.Context) error {
	m := s.settings().Mail
	if m.Server == "" {
		return nil
	}
	all, err := s.state.due(ctx, mostInMail)
	if err != nil || len(all) == 0 {
		return err
	}
	server, err := m.open()
	if err != nil {
		return err
	}
	content := sha256.New() // the same mail has the same Message-ID when it is sent again
	for _, v := range all {
		fmt.Fprintf(content, "%s %s ", v.Partner, certfile.Fingerprint(v.DER))
	}
	key := hex.EncodeToString(content.Sum(nil))
	for i, to := range m.To {
		id := fmt.Sprintf("%s.%d@%s", key[:32], i, m.domain())
		err = errors.Join(err, server.SendText(ctx, notify.Text{Address: to, Subject: subject(all), Body: body(all,
			s.settings().Path), MessageID: id, Date: s.now()}))
	}
	if err != nil {
		return err
	}
	return s.state.mailed(ctx, all)
}

func (m Mail) domain() string {
	domain, err := notify.ParseSender(m.From)
	if err != nil {
		return "localhost"
	}
	return domain
}

// open returns the mail server.
func (m Mail) open() (*notify.Server, error) {
	address := m.Server
	if m.PasswordFile != "" {
		password, err := os.ReadFile(m.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("mail: the password of the mail server: %w", err)
		}
		u, err := url.Parse(address)
		if err != nil || u.User == nil {
			return nil, errors.New("mail: password_file needs a server with a user: smtp://USER@HOST:PORT")
		}
		u.User = url.UserPassword(u.User.Username(), strings.TrimSpace(string(password)))
		address = u.String()
	}
	var roots *tls.Config
	if m.CA != "" {
		pool, err := certfile.ReadRoots(m.CA)
		if err != nil {
			return nil, fmt.Errorf("mail: %w", err)
		}
		roots = &tls.Config{RootCAs: pool}
	}
	return notify.NewServer(address, m.From, nil, roots)
}
