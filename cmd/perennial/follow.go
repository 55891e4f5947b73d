package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/perennial-pki/perennial/internal/egress/serve"
	"github.com/perennial-pki/perennial/internal/ingress/follow"
	"github.com/perennial-pki/perennial/internal/keys/certfile"
)

// followCmd keeps a receiver's configuration in step with a sender's feed.
type followCmd struct {
	URL    string        `arg:"" optional:"" env:"PERENNIAL_FEED" secret:"" help:"The address of the feed, which the sender gives you: https://HOST/feeds/SECRET/THUMBPRINT/. It is a secret, so set it as PERENNIAL_FEED where others can list processes."`
	Render []string      `required:"" sep:"none" placeholder:"FORMAT" help:"The form of the file: nginx, haproxy, apache, pem (all certificates), cas (their CAs), jwks, list, or the path of a Go template. May be repeated, with a --write for each."`
	Write  []string      `required:"" sep:"none" placeholder:"PATH" help:"The file to write, or configmap/NAME[/KEY] in a pod of Kubernetes."`
	Then   string        `placeholder:"COMMAND" help:"Run this after a change, for example 'nginx -s reload'."`
	Check  *string       `placeholder:"COMMAND" help:"Run this before, with the new files in place. If it fails, the old files come back (default: nginx -t or apachectl configtest if the product is installed; empty for none)."`
	Once   bool          `xor:"rounds" help:"Do it once, for cron. The exit status is 1 if the files could not be brought up to date."`
	State  string        `placeholder:"FILE" help:"Where to keep what was seen last (default: a hidden file beside the first file)."`
	Every  time.Duration `xor:"rounds" placeholder:"1h" help:"The time between two rounds (default: as the feed suggests)."`
	Shrink bool          `help:"Accept that most tenants have left the feed of a counterparty at once. Otherwise their certificates are kept."`
	CA     string        `name:"ca" placeholder:"FILE" help:"CAs (PEM) of the feed's server, instead of the system's."`
}

func (c *followCmd) Run(e env) error {
	f, err := c.follower(e)
	if err != nil {
		return err
	}
	ctx, stop := serve.UntilSignal()
	defer stop()
	if c.Once {
		return f.Once(ctx)
	}
	return f.Follow(ctx)
}

func (c *followCmd) follower(e env) (*follow.Follower, error) {
	if c.URL == "" {
		return nil, misused("which feed? Give its address as an argument or as PERENNIAL_FEED")
	}
	if len(c.Render) != len(c.Write) {
		return nil, misused("%d --render and %d --write: give a --write for each --render, in the same order",
			len(c.Render), len(c.Write))
	}
	roots, err := certfile.ReadRoots(c.CA)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	config := follow.Config{Address: c.URL, Then: c.Then, State: c.State, Every: c.Every, Shrink: c.Shrink,
		Client: &http.Client{Transport: transport}, Run: follow.Shell, Now: e.now, Log: e.log()}
	check := ""
	for i, name := range c.Render {
		format, err := follow.ReadFormat(name)
		if err != nil {
			return nil, misused("--render: %w", err)
		}
		target, err := follow.ParseTarget(c.Write[i], format)
		if err != nil {
			return nil, misused("--write: %w", err)
		}
		if target.ConfigMap != "" && config.Kubernetes == nil {
			config.Kubernetes, err = follow.InCluster(os.Getenv("KUBERNETES_SERVICE_HOST"),
				os.Getenv("KUBERNETES_SERVICE_PORT"), follow.ServiceAccount)
			if err != nil {
				return nil, err
			}
		}
		if target.Path != "" && check == "" {
			check = installed(format.Check())
		}
		config.Outputs = append(config.Outputs, follow.Output{Format: format, Target: target})
	}
	config.Check = check
	if c.Check != nil {
		config.Check = *c.Check
	}
	return follow.New(config)
}

// installed returns a command if its program is installed, and otherwise nothing.
func installed(command string) string {
	program, _, _ := strings.Cut(command, " ")
	if _, err := exec.LookPath(program); program == "" || err != nil {
		return ""
	}
	return command
}
