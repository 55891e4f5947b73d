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
	"github.com/perennial-pki/perennial/tenancy"
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
	attrs := append([]any{"partner", v.Partner, "standing", v.Standing, "code", v.Code}, describe(c)...)
	log.Log(context.Background(), level, v.sentence(c), attrs...)
}

// sentence states what has happened.
func (v Sighting) sentence(c *x509.Certificate) string {
	until := tenancy.Moment(c.NotAfter)
	switch {
	case v.Standing == Held:
		return fmt.Sprintf("%s presents a certificate that needs your decision (valid until %s): %s", v.Partner, until,
			v.Reason)
	case v.Standing == Declined:
		return fmt.Sprintf("%s has refused a certificate of %s (valid until %s)", v.By, v.Partner, until)
	case v.By == byFeed:
		return fmt.Sprintf("%s has announced a new certificate in its feed (valid until %s): accepted", v.Partner, until)
	case v.By != byRule:
		return fmt.Sprintf("%s has accepted a certificate of %s (valid until %s)", v.By, v.Partner, until)
	case v.Code == acceptance.IsSuccessor:
		return fmt.Sprintf("%s has renewed its certificate (valid until %s): accepted as successor", v.Partner, until)
	}
	return fmt.Sprintf("%s has a new certificate (valid until %s): accepted, because %s", v.Partner, until, v.Reason)
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

// lastMailPause limits the pause after a mail could not be sent, which is doubled each time.
const lastMailPause = 10 * time.Minute

// mail sends mails about new certificates until the context ends.
func (s *Service) mail(ctx context.Context) {
	pause := mailEvery
	for {
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
		err := s.mailDue(ctx)
		s.metrics.failed("mail", err)
		if err == nil {
			pause = mailEvery
			continue
		}
		pause = min(2*pause, lastMailPause)
		s.warn("mail", "cannot send a mail about new certificates: it is sent later", "error", err)
	}
}

// mailDue sends each address one mail about the certificates that it has no mail about. An address that the mail server
// refuses for good does not get one.
func (s *Service) mailDue(ctx context.Context) (err error) {
	config := s.settings()
	if config.Mail.Server == "" {
		return nil
	}
	for _, to := range config.Mail.To {
		err = errors.Join(err, s.mailTo(ctx, config, to))
	}
	return err
}

func (s *Service) mailTo(ctx context.Context, c Config, to string) error {
	all, err := s.state.due(ctx, to, mostInMail)
	if err != nil || len(all) == 0 {
		return err
	}
	server, err := c.Mail.open()
	if err != nil {
		return err
	}
	content := sha256.New() // the same mail has the same Message-ID when it is sent again
	fmt.Fprint(content, to)
	for _, v := range all {
		fmt.Fprintf(content, " %s %s %s", v.Partner, certfile.Fingerprint(v.DER), v.Standing)
	}
	id := hex.EncodeToString(content.Sum(nil))[:32] + "@" + c.Mail.domain()
	l := letter{sightings: all, config: c.Path, language: c.Mail.Language, onHold: s.onHold(all)}
	err = server.SendText(ctx, notify.Text{Address: to, Subject: l.subject(), Body: l.body(), MessageID: id,
		Language: c.Mail.Language, Date: s.now()})
	refusal := (*notify.Refusal)(nil)
	switch {
	case errors.As(err, &refusal) && refusal.Final:
		s.warn("mail to "+to, "the mail server does not accept this address: change it in mail", "address", to, "error", err)
	case err != nil:
		return fmt.Errorf("to %s: %w", to, err)
	}
	return s.state.mailed(ctx, to, all, c.Mail.To)
}

// onHold returns the time for which the held certificates of partners are accepted.
func (s *Service) onHold(all []Sighting) map[string]time.Duration {
	partners, of := s.guard.Partners(), map[string]time.Duration{}
	for _, v := range all {
		if p, found := partners.Partner(v.Partner); found {
			of[v.Partner] = p.OnHold
		}
	}
	return of
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
	server, err := notify.NewServer(address, m.From, nil, roots)
	if err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return server, nil
}
