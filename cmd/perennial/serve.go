package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/engine/store"
	"github.com/perennial-pki/perennial/internal/keys/issuer"
	"github.com/perennial-pki/perennial/internal/lab/sample"
	"github.com/perennial-pki/perennial/internal/service"
)

// serviceFlags configure the service. Each is also PERENNIAL_* in the environment and a line of the configuration file.
type serviceFlags struct {
	Config           string `env:"PERENNIAL_CONFIG" placeholder:"FILE" help:"A YAML file with these settings. Flags and environment variables override it."`
	service.Settings `embed:""`
}

type serveCmd struct {
	serviceFlags
	Sample bool `env:"PERENNIAL_SAMPLE" help:"Start with a sample fleet, in a temporary database that is deleted at the end."`
}

func (c *serveCmd) Run(e env) error {
	ctx, stop := serve.UntilSignal()
	defer stop()
	log := c.Log.Logger(e.err)
	slog.SetDefault(log)
	if c.Sample {
		remove, err := c.useSample()
		if err != nil {
			return err
		}
		defer remove()
	}
	version, _ := buildVersion()
	s, err := service.Open(ctx, service.Config{
		Settings: c.Settings, Version: version, Now: e.now, Log: log, WrapIssuer: e.issuer, PartSize: e.partSize,
	})
	if err != nil {
		return err
	}
	welcome := func() { c.welcome(e, s) }
	if c.Sample {
		example, err := sample.Fill(ctx, s.Store(), s.Engine(), s.Issuer(), e.now)
		if err != nil {
			return errors.Join(err, s.Close())
		}
		welcome = func() {
			c.welcome(e, s)
			c.welcomeToSample(e, s, example)
		}
	}
	err = s.Run(ctx, welcome)
	return errors.Join(err, s.Close())
}

// useSample makes the service run on a temporary database, with receivers on loopback.
func (c *serveCmd) useSample() (remove func(), err error) {
	if c.Mail.SMTP != "" {
		return nil, misused("--sample cannot be used with --smtp: its mails would go to real addresses")
	}
	dir, err := os.MkdirTemp("", "perennial-sample-")
	if err != nil {
		return nil, err
	}
	c.Database = service.Database{
		URL: "sqlite:" + filepath.Join(dir, "perennial.db"), KeyFile: filepath.Join(dir, "perennial.key"),
	}
	c.Gateway.AllowTarget = append(c.Gateway.AllowTarget, "127.0.0.0/8")
	return func() { os.RemoveAll(dir) }, nil
}

// welcome prints the addresses of the service and the first steps.
func (c *serveCmd) welcome(e env, s *service.Service) {
	mailing := "waiting: no mail server is configured (--smtp)"
	if c.Mail.SMTP != "" {
		mailing = "through " + store.Masked(c.Mail.SMTP)
	}
	messages := "off (--gateway)"
	if url := s.GatewayURL(); url != "" {
		messages = url + "/TENANT/ARRANGEMENT/..."
	}
	p := s.Policy()
	if log := c.Log.Greeting(e.out); log != nil {
		log.Info("perennial is ready", "url", s.BaseURL(), "database", store.Masked(c.Database.URL), "policy", p.Name,
			"next_run", p.Schedule.Next(e.now()), "messages", messages, "mail", mailing)
		if secret := s.FirstToken(); secret != "" && !c.Sample {
			log.Info("the first operator token, shown only now", "valid_days", service.FirstTokenDays, "token", secret,
				"next", s.BaseURL()+"/welcome")
		}
		return
	}
	fmt.Fprintf(e.out, "Perennial is ready at %s\n  database  %s\n  policy    %s, next run %s\n  messages  %s\n"+
		"  mail      %s\n", s.BaseURL(), store.Masked(c.Database.URL), p.Name, moment(p.Schedule.Next(e.now())), messages,
		mailing)
	if ca, ok := issuer.As[issuer.ServerCertifier](s.Issuer()); ok && c.Transport.TLS == "self" {
		fmt.Fprintf(e.out, "  TLS       own CA, SHA-256 of the root: %s\n", ca.RootFingerprint(e.now()))
	}
	if secret := s.FirstToken(); secret != "" && !c.Sample {
		fmt.Fprintf(e.out, "\nThe first operator token, shown only now and valid for %d days:\n\n  export PERENNIAL_URL=%s "+
			"PERENNIAL_TOKEN=%s\n\n"+
			"Then, in another terminal: perennial tenant create acme\n"+
			"Or create your account for the console with it: %s/welcome\n"+
			"Or look around in a sample fleet first: perennial serve --sample\n", service.FirstTokenDays, s.BaseURL(), secret,
			s.BaseURL())
	}
}

func (c *serveCmd) welcomeToSample(e env, s *service.Service, example sample.Sample) {
	for _, l := range example.Logins {
		fmt.Fprintf(e.out, "Sign in at %s as %-6s (%s) with the password %s\n", s.BaseURL(), l.Name, l.Role, l.Password)
	}
	fmt.Fprintf(e.out, "The sample's bank and payroll accept only certificates that were installed there. "+
		"Install one as their administrators would:\n  curl -k --data-binary @certificate.pem %s\n", example.Install)
}
