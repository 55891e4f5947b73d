package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"github.com/perennial-pki/perennial/client"
	"github.com/perennial-pki/perennial/tenancy"
)

const (
	importsPath = "/imports"
	// mostFiles limits the files of one import, in bytes. At most mostMemory of them is kept in memory.
	mostFiles  = 48 << 20
	mostMemory = 16 << 20
)

func (c *console) imports(v *view) error {
	list, err := paged[client.Import](c, v, importsPath)
	if err != nil {
		return err
	}
	return c.show(v, http.StatusOK, v.T("Import"), importsPage(v, list))
}

// checkImport uploads the files for a check. Nothing is changed yet.
func (c *console) checkImport(v *view) error {
	var large *http.MaxBytesError
	switch err := v.r.ParseMultipartForm(mostMemory); {
	case errors.As(err, &large):
		return &refusal{http.StatusRequestEntityTooLarge, v.T("The files are larger than %d MiB in total. Import "+
			"them in parts.", mostFiles>>20)}
	case err != nil:
		return &refusal{http.StatusBadRequest, v.T("The upload was incomplete. Please try again.")}
	}
	defer v.r.MultipartForm.RemoveAll()
	read := func(h *multipart.FileHeader) ([]byte, error) {
		f, err := h.Open()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	}
	files := client.ImportFiles{Password: v.r.PostFormValue("password")}
	for name, to := range map[string]*string{"tenants": &files.Tenants, "people": &files.People,
		"arrangements": &files.Arrangements} {
		for _, h := range v.r.MultipartForm.File[name] {
			data, err := read(h)
			if err != nil {
				return err
			}
			*to = string(data)
		}
	}
	for _, h := range v.r.MultipartForm.File["certificates"] {
		data, err := read(h)
		if err != nil {
			return err
		}
		if len(data) > 0 { // a browser sends an empty file if none was chosen
			files.Certificates = append(files.Certificates, client.ImportCertificate{Name: h.Filename, Data: data})
		}
	}
	if err := v.readPasswords(files.Certificates); err != nil {
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
func (v *view) readPasswords(files []client.ImportCertificate) error {
	n := 0
	for line := range strings.Lines(v.r.PostFormValue("passwords")) {
		n++
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, password, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		name, password = strings.TrimSpace(name), strings.TrimPrefix(password, " ")
		if !ok || password == "" {
			return &refusal{http.StatusUnprocessableEntity, v.T("Line %d of the passwords is not of the form FILE: "+
				"PASSWORD.", n)}
		}
		i := slices.IndexFunc(files, func(f client.ImportCertificate) bool { return f.Name == name })
		if i < 0 {
			return &refusal{http.StatusUnprocessableEntity, v.T("Line %d of the passwords names a file that is not among "+
				"the certificates: %s", n, name)}
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
	plan, err := paged[client.ImportPlan](c, v, importsPath+"/"+escape(i.ID)+"/plan")
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

// warnedBefore returns whether an imported certificate is renewed with a warning before.
func (v *view) warnedBefore(r client.ImportedRenewal) stateOf {
	switch {
	case r.WarnAt.IsZero():
		return stateOf{"bad", v.T("No warning before")}
	case r.Notified == 0 && r.Purpose == tenancy.ForMUser:
		return stateOf{"bad", v.T("No IT contact to warn")}
	case r.Notified == 0:
		return stateOf{"bad", v.T("No key user to warn")}
	}
	return stateOf{"good", v.T("Warned on %s: %d", v.Day(r.WarnAt), r.Notified)}
}

func (c *console) moveImport(v *view) error {
	verb := v.r.PathValue("verb")
	if verb != "apply" && verb != "undo" {
		return &refusal{http.StatusNotFound, ""}
	}
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
