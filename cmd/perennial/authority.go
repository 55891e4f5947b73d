package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/internal/keys/issuer/local"
	"github.com/perennial-pki/perennial/internal/keys/secret"
	"github.com/perennial-pki/perennial/tenancy"
)

type authorityCmd struct {
	List     authorityListCmd     `cmd:"" help:"List the authorities of the service's CA and when their successors are announced."`
	Announce authorityAnnounceCmd `cmd:"" help:"Create and announce a new issuing CA."`
	CSR      authorityCSRCmd      `cmd:"" name:"csr" help:"Download the request for the next issuing CA, if the key of its root is elsewhere."`
	Install  authorityInstallCmd  `cmd:"" help:"Announce an issuing CA that a root elsewhere has signed."`
	Root     authorityRootCmd     `cmd:"" help:"Take the key of a root offline, and sign with it."`
	Waiting  authorityWaitingCmd  `cmd:"" help:"List the arrangements whose receivers are not known to trust the announced CA."`
	Probe    authorityProbeCmd    `cmd:"" help:"Test whether a receiver trusts the announced CA."`
	Sign     authoritySignCmd     `cmd:"" help:"Sign with the announced CA from now on."`
	Revoke   authorityRevokeCmd   `cmd:"" help:"Revoke an issuing CA, sign with another one, and renew its certificates at once."`
}

type authorityListCmd struct{ listing }

func (c *authorityListCmd) Run(e env) error {
	var awaited []string
	err := list(&c.listing, e, "/authorities", "KIND\tSUBJECT\tSTAGE\tSIGNS FROM\tVALID UNTIL\t"+
		"SUCCESSOR ANNOUNCED\tKEY\tID", "No authorities.",
		func(a client.Authority) []any {
			awaited = append(awaited, awaitedOf(a)...)
			return []any{a.Kind, a.Subject, a.Stage, when(a.SignsFrom), moment(a.NotAfter), moment(a.AnnounceAt),
				cmp.Or(a.KeyURI, string(a.Key)), a.ID}
		})
	for _, text := range awaited {
		_, failed := fmt.Fprintln(e.out, text)
		err = errors.Join(err, failed)
	}
	return err
}

// awaitedOf returns the tasks of the hosting team for a root whose key is elsewhere.
func awaitedOf(a client.Authority) (all []string) {
	if !a.SignBy.IsZero() {
		all = append(all, fmt.Sprintf("%s must sign the next issuing CA by %s: perennial authority csr, then perennial "+
			"authority install", a.Subject, moment(a.SignBy)))
	}
	for _, id := range a.Unlisted {
		all = append(all, fmt.Sprintf("The revocation list of %s lacks %s, because the key of the root is offline: "+
			"perennial authority root import, then take it offline again", a.Subject, id))
	}
	return all
}

type authorityAnnounceCmd struct {
	remote
	SignsFrom string `placeholder:"DATE" help:"Latest date from which it signs (default: in 93 days)."`
	Key       string `placeholder:"URI" help:"Key of the issuing CA in a key management service or a token (hcvault:, aws-kms:, azure-kms:, gcp-kms:, pkcs11:), or sealed for a new one in the database (default: as for the present CA)."`
	NewRoot   bool   `help:"Create a new root too. Every receiver that trusts a CA must then trust the new root."`
}

func (c *authorityAnnounceCmd) Run(e env) error {
	body := map[string]any{"new_root": c.NewRoot, "key": c.Key}
	if c.SignsFrom != "" {
		at, err := parseInstant(c.SignsFrom)
		if err != nil {
			return misused("--signs-from: %w", err)
		}
		body["signs_from"] = at
	}
	a, err := post[client.Authority](&c.remote, "/authorities", body)
	if err != nil {
		return err
	}
	return c.showAuthority(e, a)
}

type authorityCSRCmd struct {
	remote
	Key  string `placeholder:"URI" help:"Key of the issuing CA in a key management service or a token (hcvault:, aws-kms:, azure-kms:, gcp-kms:, pkcs11:), or sealed for a new one in the database (default: that of the open request, or as for the present CA). A request with another key is replaced."`
	File string `short:"o" placeholder:"FILE" help:"The file to write (default: standard output)."`
}

func (c *authorityCSRCmd) Run(e env) error {
	r, err := post[client.AuthorityRequest](&c.remote, "/authorities/request", map[string]string{"key": c.Key})
	if err != nil {
		return err
	}
	if c.File == "" && c.Output == "json" {
		return writeJSON(e.out, r)
	}
	return c.deliver(e, c.File, []byte(r.CSR))
}

type authorityInstallCmd struct {
	remote
	File      string `arg:"" field:"chain" help:"Its certificate with those above it, up to the self-signed root, in any form and order; - for standard input."`
	SignsFrom string `placeholder:"DATE" help:"Latest date from which it signs (default: in 93 days)."`
}

func (c *authorityInstallCmd) Run(e env) error {
	data, err := e.readArgument(c.File)
	if err != nil {
		return err
	}
	body := map[string]any{"chain": data}
	if c.SignsFrom != "" {
		if body["signs_from"], err = parseInstant(c.SignsFrom); err != nil {
			return misused("--signs-from: %w", err)
		}
	}
	a, err := post[client.Authority](&c.remote, "/authorities/install", body)
	if err != nil {
		return err
	}
	return c.showAuthority(e, a)
}

func (c *remote) showAuthority(e env, a client.Authority) error {
	return c.show(e, a, "id", a.ID, "subject", a.Subject, "stage", a.Stage, "signs from", when(a.SignsFrom), "valid until",
		moment(a.NotAfter), "key", cmp.Or(a.KeyURI, string(a.Key)))
}

// announced returns the ID of the issuing CA that does not sign yet.
func (c *remote) announced() (string, error) {
	authorities, err := all[client.Authority](c, "/authorities")
	if err != nil {
		return "", err
	}
	a, ok := client.AnnouncedAuthority(authorities)
	if !ok {
		return "", errors.New("no new CA is announced: perennial authority list shows when the next one will be")
	}
	return url.PathEscape(a.ID), nil
}

type authorityRootCmd struct {
	Export authorityRootExportCmd `cmd:"" help:"Write the key of a root to a file, encrypted with a passphrase, and remove it from the database."`
	Import authorityRootImportCmd `cmd:"" help:"Bring back the key of a root that was exported, for example to publish the revocation of an issuing CA."`
	Sign   authorityRootSignCmd   `cmd:"" help:"Sign the request for an issuing CA with an exported root, on any machine and without a service."`
}

type authorityRootExportCmd struct {
	remote
	ID         string     `arg:"" field:"authority" help:"ID of the root, see perennial authority list."`
	File       string     `short:"o" required:"" placeholder:"FILE" help:"The file to write. It must not exist."`
	Passphrase secret.Ref `required:"" placeholder:"REF" help:"The passphrase, of at least 16 characters: env:NAME or file:PATH."`
}

// Run removes the key from the database only after the file has been read back and opened.
func (c *authorityRootExportCmd) Run(e env) error {
	passphrase, err := c.Passphrase.Read()
	if err != nil {
		return err
	}
	path := "/authorities/" + url.PathEscape(c.ID)
	export, err := post[client.RootExport](&c.remote, path+"/export", map[string]string{
		"passphrase": passphrase.Reveal()})
	if err != nil {
		return err
	}
	if err := writeNew(c.File, []byte(export.File), 0o400); err != nil {
		return fmt.Errorf("the key stays in the service: %w", err)
	}
	written, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("the key stays in the service: %w", err)
	}
	root, err := local.OpenExport(written, passphrase.Reveal(), e.now())
	if err != nil {
		return fmt.Errorf("the key stays in the service: %w", err)
	}
	proof, err := root.Proof(c.ID)
	if err != nil {
		return fmt.Errorf("the key stays in the service: %w", err)
	}
	a, err := post[client.Authority](&c.remote, path+"/remove-key", map[string][]byte{"proof": proof})
	if err != nil {
		return fmt.Errorf("the key is in %s, and the service does not confirm that it has removed it (see the column KEY of "+
			"perennial authority list): %w", c.File, err)
	}
	return c.show(e, a, "id", a.ID, "subject", a.Subject, "key", string(a.Key), "file", c.File, "valid until",
		moment(a.NotAfter))
}

// writeNew writes a file that must not exist, so that nothing is overwritten. It is on the disk when writeNew returns.
// If it cannot be written whole, there is none.
func writeNew(name string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

type authorityRootImportCmd struct {
	remote
	File       string     `arg:"" help:"The file of perennial authority root export."`
	Passphrase secret.Ref `required:"" placeholder:"REF" help:"Its passphrase: env:NAME or file:PATH."`
}

func (c *authorityRootImportCmd) Run(e env) error {
	passphrase, err := c.Passphrase.Read()
	if err != nil {
		return err
	}
	file, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	a, err := post[client.Authority](&c.remote, "/authorities/import", map[string]string{"file": string(file),
		"passphrase": passphrase.Reveal()})
	if err != nil {
		return err
	}
	return c.show(e, a, "id", a.ID, "subject", a.Subject, "key", string(a.Key), "valid until", moment(a.NotAfter))
}

type authorityRootSignCmd struct {
	Request    string     `arg:"" help:"The request: the file of perennial authority csr."`
	Root       string     `required:"" placeholder:"FILE" help:"The file of perennial authority root export."`
	Passphrase secret.Ref `required:"" placeholder:"REF" help:"Its passphrase: env:NAME or file:PATH."`
	File       string     `short:"o" placeholder:"FILE" help:"The file to write the chain to, for perennial authority install (default: standard output)."`
}

func (c *authorityRootSignCmd) Run(e env) error {
	passphrase, err := c.Passphrase.Read()
	if err != nil {
		return err
	}
	request, err1 := os.ReadFile(c.Request)
	file, err2 := os.ReadFile(c.Root)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	root, err := local.OpenExport(file, passphrase.Reveal(), e.now())
	if err != nil {
		return fmt.Errorf("%s: %w", c.Root, err)
	}
	chain, err := root.Sign(request, e.now())
	if err != nil {
		return fmt.Errorf("%s: %w", c.Request, err)
	}
	if c.File != "" {
		return writeNew(c.File, chain, 0o644) // never over the file with the key
	}
	_, err = e.out.Write(chain)
	return err
}

type authorityWaitingCmd struct{ queried }

func (c *authorityWaitingCmd) Run(e env) error {
	id, err := c.announced()
	if err != nil {
		return err
	}
	return list(&c.listing, e, c.search("/authorities/"+id+"/waiting"), "ARRANGEMENT\tTRUST\tSINCE\tBY\tANSWER",
		c.none("No receiver is waited for."), func(t client.Trust) []any {
			trust := string(t.Trust)
			if t.Trust == tenancy.TrustUnknown {
				trust = "unknown"
			}
			return []any{t.Tenant + "/" + t.Arrangement, trust, when(t.At), t.By, t.Answer}
		})
}

type authorityProbeCmd struct {
	anArrangement
	Installed bool `help:"Do not test: record that the CA is installed, as reported by the receiver's administrator."`
}

func (c *authorityProbeCmd) Run(e env) error {
	t, err := act[client.AskedTrust](&c.anArrangement, map[string]bool{"installed": c.Installed}, "authority")
	if err != nil {
		return err
	}
	trust := string(t.Trust.Trust)
	if t.Trust.Trust == tenancy.TrustUnknown {
		trust = "unknown"
	}
	return c.show(e, t, "arrangement", t.Tenant+"/"+t.Arrangement, "new CA", trust, "answer", t.Answer)
}

type authoritySignCmd struct{ remote }

func (c *authoritySignCmd) Run(e env) error {
	id, err := c.announced()
	if err != nil {
		return err
	}
	a, err := post[client.Authority](&c.remote, "/authorities/"+id+"/sign", nil)
	if err != nil {
		return err
	}
	return c.showAuthority(e, a)
}

type authorityRevokeCmd struct {
	remote
	ID     string `arg:"" field:"authority" help:"ID of the authority, see perennial authority list."`
	Reason string `enum:"compromised,superseded" default:"compromised" help:"compromised: its key may be in the wrong hands; superseded: it must no longer be used for another reason."`
}

func (c *authorityRevokeCmd) Run(e env) error {
	a, err := post[client.Authority](&c.remote, "/authorities/"+url.PathEscape(c.ID)+"/revoke",
		map[string]string{"reason": c.Reason})
	if err != nil {
		return err
	}
	lines := []any{"id", a.ID, "subject", a.Subject, "stage", a.Stage, "revoked", moment(a.RevokedAt),
		"its certificates", "are renewed in the background, and their key users are notified"}
	authorities, err := all[client.Authority](&c.remote, "/authorities")
	if err != nil {
		return err
	}
	for _, root := range authorities {
		if slices.Contains(root.Unlisted, a.ID) {
			lines = append(lines, "revocation list", "lacks it, because the key of its root is offline: perennial authority "+
				"root import, then take it offline again")
		}
	}
	return c.show(e, a, lines...)
}
