package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	importsPath = "/imports"
	// mostFiles limits the files of one import, in bytes, and mostUploads their number.
	mostFiles   = 48 << 20
	mostUploads = 20_000
)

func (c *console) imports(v *view) error {
	list, err := paged[client.Import](c, v, v.listPath(importsPath, "state"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Import"), importsPage(v, list))
}

// importInputs returns the fields of the form for an import.
func (v *view) importInputs() []input {
	table := func(name, label, columns string) input {
		return input{name: name, label: label, hint: columns, kind: "file",
			attributes: templ.Attributes{"accept": ".csv,text/csv"}}
	}
	return []input{
		table("tenants", v.T("Tenants (CSV)"), "name, display_name, key_type, mail_for_tasks, issuer"),
		table("people", v.T("People (CSV)"), "tenant, role, name, email, subscribed, "+
			"display_name, language, zone"),
		table("arrangements", v.T("Arrangements (CSV)"), "tenant, name, receiver, receiver_name, contact_name, "+
			"contact_email, scenario, endpoint, strategy, probe_path, server_key_pin, identifies_by"),
		{name: "encoding", label: v.T("Encoding of the tables"), kind: "select", options: []option{{"", "UTF-8, UTF-16"},
			{"windows-1252", "Windows-1252, ISO 8859-1"}, {"iso-8859-15", "ISO 8859-15"}, {"windows-1250", "Windows-1250"}}},
		{name: "certificates", label: v.T("Certificates of new tenants, with their private keys"), kind: "file",
			hint:       v.T("PEM or PKCS#12, named TENANT.pem or TENANT.p12, and TENANT.m-user.p12 for the M-user"),
			attributes: templ.Attributes{"accept": ".pem,.p12,.pfx", "multiple": true}},
		{name: "password", label: v.T("Password of PKCS#12 files and encrypted keys"), kind: "password",
			hint:       v.T("For all files that are not listed below"),
			attributes: templ.Attributes{"autocomplete": "off"}},
		{name: "passwords", label: v.T("Passwords of single files"), kind: "textarea", rows: 3,
			hint: v.T("One file per line, for example TENANT.p12: PASSWORD"),
			attributes: templ.Attributes{"class": "secret", "autocomplete": "off", "autocapitalize": "none",
				"spellcheck": "false"}},
		{name: "spread", label: v.T("Spread the expiry of new certificates"), kind: "select",
			hint: v.T("So that one run does not renew all of them"), options: []option{
				{"", v.T("If more than 1,000 are issued")}, {"true", v.T("Yes")}, {"false", v.T("No")}}},
	}
}

// An upload is a form with files. It is in memory only, because the files hold private keys.
type upload struct {
	fields map[string]string
	files  []uploaded
	empty  string // name of a file without content, which is not among the files
}

// An uploaded file is one file of a field.
type uploaded struct {
	field, name string
	data        []byte
}

// upload reads a form with files. The size of the body is already limited.
func (v *view) upload() (u upload, err error) {
	u.fields = map[string]string{}
	v.uploaded = u.fields
	reader, err := v.r.MultipartReader()
	for err == nil {
		var part *multipart.Part
		if part, err = reader.NextPart(); err != nil {
			break
		}
		var data []byte
		if data, err = io.ReadAll(part); err != nil {
			break
		}
		switch {
		case part.FileName() == "" && u.fields[part.FormName()] == "":
			u.fields[part.FormName()] = string(data)
		case part.FileName() == "": // a browser sends an empty file without a name if none was chosen
		case len(data) == 0:
			u.empty = part.FileName()
		case len(u.files) == mostUploads:
			return u, &refusal{http.StatusRequestEntityTooLarge, v.T("There are more than %d files. Import them in parts.",
				mostUploads)}
		default:
			u.files = append(u.files, uploaded{part.FormName(), part.FileName(), data})
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return u, &refusal{http.StatusRequestEntityTooLarge, v.T("The files are larger than %d MiB in total. Import "+
			"them in parts.", mostFiles>>20)}
	case !errors.Is(err, io.EOF):
		return u, &refusal{http.StatusBadRequest, v.T("The upload was incomplete. Please try again.")}
	}
	return u, nil
}

// checkImport uploads the files for a check. Nothing is changed yet.
func (c *console) checkImport(v *view) error {
	u, err := v.upload()
	if err != nil {
		return err
	}
	if u.empty != "" {
		return &refusal{http.StatusUnprocessableEntity, v.T("The file %s is empty.", u.empty)}
	}
	files := client.ImportFiles{Password: u.fields["password"]}
	tables := map[string]*string{"tenants": &files.Tenants, "people": &files.People, "arrangements": &files.Arrangements}
	for _, f := range u.files {
		switch to := tables[f.field]; {
		case to != nil:
			if *to, err = client.Table(f.data, u.fields["encoding"]); err != nil {
				return &refusal{http.StatusUnprocessableEntity, f.name + ": " + err.Error()}
			}
		case f.field == "certificates":
			files.Certificates = append(files.Certificates, client.ImportCertificate{Name: f.name, Data: f.data})
		}
	}
	if yes, err := strconv.ParseBool(u.fields["spread"]); err == nil {
		files.SpreadExpiry = &yes
	}
	if err := v.readPasswords(u.fields["passwords"], files.Certificates); err != nil {
		return err
	}
	made, err := post[client.Import](c, v, importsPath, files)
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, importsPath+"/"+made.ID, http.StatusSeeOther)
	return nil
}

// readPasswords reads the passwords of single files from the form. Each line is a file, a colon and its password.
func (v *view) readPasswords(text string, files []client.ImportCertificate) error {
	n := 0
	for line := range strings.Lines(text) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, password, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		name, password = strings.TrimSpace(name), strings.TrimPrefix(password, " ")
		if !ok || password == "" {
			return invalid("passwords", v.T("Line %d of the passwords is not of the form FILE: PASSWORD.", n))
		}
		i := slices.IndexFunc(files, func(f client.ImportCertificate) bool { return f.Name == name })
		if i < 0 {
			return invalid("passwords", v.T("Line %d of the passwords names a file that is not among the certificates: %s", n,
				name))
		}
		files[i].Password = password
	}
	return nil
}

func (c *console) importPage(v *view) error {
	i, err := get[client.Import](c, v, importsPath+"/"+escape(v.r.PathValue("import")))
	if err != nil {
		return err
	}
	plan, err := paged[client.ImportPlan](c, v, v.listPath(importsPath+"/"+escape(i.ID)+"/plan"))
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Import"), importPage(v, i, plan))
}

// changedPart names the part of a certificate that a first renewal changes.
func (v *view) changedPart(c client.ImportChange) string {
	switch c.What {
	case "issuer":
		return v.T("Issuer")
	case "root":
		return v.T("Root")
	case "subject":
		return v.T("Subject")
	case "san":
		return v.T("Alternative names")
	}
	return v.T("Key type")
}

// warnedBefore returns the state of the warning before the first renewal of an imported certificate.
func (v *view) warnedBefore(r client.ImportedRenewal) stateOf {
	switch {
	case r.WarnAt.IsZero():
		return stateOf{"bad", v.T("No earlier warning")}
	case r.Notified == 0 && r.Purpose == tenancy.ForMUser:
		return stateOf{"bad", v.T("No IT contact to warn")}
	case r.Notified == 0:
		return stateOf{"bad", v.T("No key user to warn")}
	}
	return stateOf{"good", v.T("Warned on %s: %d", v.Day(r.WarnAt), r.Notified)}
}

func (c *console) moveImport(v *view) error {
	verb := v.r.PathValue("verb") // the question before it refuses others
	path := importsPath + "/" + escape(v.r.PathValue("import"))
	var approval any
	if verb == "apply" {
		approval = client.ImportApproval{AcceptChanges: v.r.PostFormValue("accept_changes") == "yes"}
	}
	if _, err := post[client.Import](c, v, path+"/"+verb, approval); err != nil {
		return err
	}
	return c.done(v, path, v.T("This continues in the background. You can close this page."))
}

func (v *view) importState(i client.Import) stateOf {
	switch {
	case len(i.Problems) > 0:
		return stateOf{"bad", v.T("Problems found")}
	case i.LastError != "":
		return stateOf{"bad", v.T("Stopped")}
	}
	switch i.State {
	case tenancy.ImportApplied:
		return stateOf{"good", v.T("Imported")}
	case tenancy.ImportApplying:
		return stateOf{"wait", v.T("Importing")}
	case tenancy.ImportUndoing:
		return stateOf{"wait", v.T("Undoing")}
	case tenancy.ImportUndone:
		return stateOf{"off", v.T("Undone")}
	}
	return stateOf{"wait", v.T("Checked, not imported yet")}
}
