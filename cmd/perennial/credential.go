package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

type credentialCmd struct {
	List   credentialListCmd   `cmd:"" help:"List the credentials (series of certificates) of a tenant."`
	Add    credentialAddCmd    `cmd:"" help:"Add a credential with its own issuer, key type and names, and request its first certificate."`
	Show   credentialShowCmd   `cmd:"" help:"Show a credential."`
	Change credentialChangeCmd `cmd:"" help:"Change a credential, from its next certificate on."`
}

type credentialListCmd struct {
	listing
	Tenant string `arg:""`
}

func (c *credentialListCmd) Run(e env) error {
	return list(&c.listing, e, in(c.Tenant, "credentials"), "NAME\tISSUER\tKEY TYPE\tGENERATION\tSTATE\tVALID UNTIL",
		"No credentials.", func(v client.Credential) []any {
			return []any{
				v.Name,
				cmp.Or(v.Issuer, "default"),
				cmp.Or(string(v.KeyType), "the tenant's"),
				v.Generation,
				v.State,
				when(v.NotAfter),
			}
		})
}

func (c *remote) showCredential(e env, v client.Credential) error {
	validity := "that of the policy"
	if v.ValiditySeconds > 0 {
		validity = (time.Duration(v.ValiditySeconds) * time.Second).String()
	}
	return c.show(e, v, "name", v.Name, "issuer", cmp.Or(v.Issuer, "default"), "key type",
		cmp.Or(string(v.KeyType), "the tenant's"), "subject", cmp.Or(v.Subject, "the issuer decides"), "SAN",
		cmp.Or(v.SAN, "none"), "validity", validity, "generation", v.Generation, "state", v.State, "valid until",
		when(v.NotAfter))
}

type credentialAddCmd struct {
	remote
	Tenant   string        `arg:""`
	Name     string        `arg:"" help:"Name of the credential, unique in the tenant."`
	Issuer   string        `help:"Issuer of its certificates, as perennial issuer list shows it (default: that of all others)."`
	KeyType  string        `enum:",p256,p384,p521,rsa2048,rsa3072,rsa4096,ed25519" default:"" help:"p256, p384, p521, rsa2048, rsa3072, rsa4096 or ed25519 (default: that of the tenant)."`
	Subject  string        `placeholder:"NAME" help:"Subject (RFC 4514), such as CN=1234,O=Example. Later certificates keep it (default: the issuer decides)."`
	SAN      string        `name:"san" placeholder:"NAMES" help:"Subject alternative names, such as DNS:a.example.com, URI:https://a.example.com/."`
	Validity time.Duration `placeholder:"DURATION" field:"validity_seconds" help:"Validity to request, such as 4800h (default: that of the policy)."`
}

func (c *credentialAddCmd) Run(e env) error {
	v, err := post[client.Credential](&c.remote, in(c.Tenant, "credentials"), client.Credential{
		Name: tenancy.Purpose(c.Name), Issuer: c.Issuer, KeyType: tenancy.KeyType(c.KeyType), Subject: c.Subject, SAN: c.SAN,
		ValiditySeconds: int64(c.Validity / time.Second)})
	if err != nil {
		return err
	}
	if err := c.showCredential(e, v); err != nil || v.State != tenancy.Requested || c.Output == "json" {
		return err
	}
	return waitsForCA(e, c.Tenant)
}

// waitsForCA prints where to see why a generation is only requested.
func waitsForCA(e env, tenant string) error {
	_, err := fmt.Fprintf(e.out, "The CA has not answered yet. To see what it waits for: perennial request list "+
		"--tenant %s\n", tenant)
	return err
}

type credentialShowCmd struct {
	remote
	Tenant string `arg:""`
	Name   string `arg:"" field:"credential"`
}

func (c *credentialShowCmd) Run(e env) error {
	v, err := get[client.Credential](&c.remote, in(c.Tenant, "credentials", c.Name))
	if err != nil {
		return err
	}
	return c.showCredential(e, v)
}

type credentialChangeCmd struct {
	remote
	Tenant   string         `arg:""`
	Name     string         `arg:"" field:"credential"`
	Issuer   *string        `help:"Issuer of its later certificates; empty for the default one."`
	KeyType  *string        `help:"Key type of its later certificates; empty for that of the tenant."`
	Validity *time.Duration `placeholder:"DURATION" field:"validity_seconds" help:"Validity to request; 0 for that of the policy."`
}

func (c *credentialChangeCmd) Run(e env) error {
	v, err := change(&c.remote, in(c.Tenant, "credentials", c.Name), func(v *client.Credential) error {
		if c.Issuer != nil {
			v.Issuer = *c.Issuer
		}
		if c.KeyType != nil {
			v.KeyType = tenancy.KeyType(*c.KeyType)
		}
		if c.Validity != nil {
			v.ValiditySeconds = int64(*c.Validity / time.Second)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.showCredential(e, v)
}

type requestCmd struct {
	List   requestListCmd   `cmd:"" help:"List certificates that have been requested but not issued yet."`
	CSR    requestCSRCmd    `cmd:"" name:"csr" help:"Download the request (PKCS#10) to send to the CA."`
	Answer requestAnswerCmd `cmd:"" help:"Upload the certificate that the CA has issued, with its chain, in any form and order."`
	Again  requestAgainCmd  `cmd:"" help:"Send a request again with another key, if the CA has lost or rejected it."`
}

type requestListCmd struct {
	queried
	Tenant string `help:"For this tenant only."`
}

func (c *requestListCmd) Run(e env) error {
	path := "/requests"
	if c.Tenant != "" {
		path = in(c.Tenant, "requests")
	}
	return list(
		&c.listing,
		e,
		c.search(path),
		"ID\tTENANT\tCREDENTIAL\tGENERATION\tISSUER\tSINCE\tNEXT\tREPLACES UNTIL\tLAST ERROR",
		c.none("No requests wait for an answer."),
		func(q client.CertificateRequest) []any {
			next := "asked at " + when(q.AskAt)
			if q.ByHand {
				next = "you send it"
			}
			return []any{q.ID, q.Tenant, q.Purpose, q.Generation, cmp.Or(q.Issuer, "default"), moment(q.Since), next,
				when(q.Replaces), q.LastError}
		},
	)
}

// oneRequest names a request.
type oneRequest struct {
	remote
	Tenant string `arg:""`
	ID     string `arg:"" field:"request" help:"The request, as perennial request list shows it."`
}

func (c *oneRequest) path(more string) string { return in(c.Tenant, "requests", c.ID, more) }

type requestCSRCmd struct {
	oneRequest
	File string `short:"o" placeholder:"FILE" help:"The file to write (default: standard output)."`
}

func (c *requestCSRCmd) Run(e env) error {
	file, err := c.exchange(client.Request{Method: http.MethodGet, Path: c.path("csr")})
	if err != nil {
		return err
	}
	return c.deliver(e, c.File, file.Body)
}

type requestAnswerCmd struct {
	oneRequest
	File string `arg:"" field:"certificate" help:"The certificate with its chain; - for standard input."`
}

func (c *requestAnswerCmd) Run(e env) error {
	data, err := e.readArgument(c.File)
	if err != nil {
		return err
	}
	v, err := post[client.Certificate](&c.remote, c.path("answer"), client.RequestAnswer{Certificate: data})
	if err != nil {
		return err
	}
	return showCertificate(&c.remote, e, v)
}

// readArgument reads the file that an argument names, or standard input for "-".
func (e env) readArgument(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(e.in, 2<<20))
	}
	return os.ReadFile(name)
}

type requestAgainCmd struct{ oneRequest }

func (c *requestAgainCmd) Run(e env) error {
	return c.carry(e, http.MethodPost, c.path("again"), nil, "The request is sent again with another key. To see what it "+
		"waits for: perennial request list --tenant "+c.Tenant)
}
