package web_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"html"
	"math/big"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/perennial-pki/perennial/internal/engine/importing"
	"github.com/perennial-pki/perennial/internal/keys/keyring"
	"github.com/perennial-pki/perennial/tenancy"
)

// hand uploads the files of an import: name and content in turn.
func (c *console) hand(client *http.Client, files ...string) (int, string, string) {
	c.t.Helper()
	return c.submit(client, func(form *multipart.Writer) {
		for i := 0; i+1 < len(files); i += 2 {
			part, err := form.CreateFormFile(files[i], files[i]+".csv")
			check(c.t, err)
			_, err = part.Write([]byte(files[i+1]))
			check(c.t, err)
		}
	})
}

// submit sends the form of an import.
func (c *console) submit(client *http.Client, fill func(*multipart.Writer)) (int, string, string) {
	c.t.Helper()
	return c.submitTo(client, "/imports", fill)
}

// submitTo sends a form with files.
func (c *console) submitTo(client *http.Client, path string, fill func(*multipart.Writer)) (int, string, string) {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	fill(form)
	check(c.t, form.Close())
	res, err := client.Post(c.url+path, form.FormDataContentType(), &body)
	check(c.t, err)
	status, page := c.read(res)
	return status, page, res.Request.URL.Path
}

const importedTenants = "name,display_name\nimported,<script>alert(1)</script> & Co.\n"

func TestAnImportShowsItsProblemsThenItsProgressAndIsUndone(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	if status, page, _ := c.hand(olga, "tenants", importedTenants, "people",
		"tenant,role,name,email\nimported,king,x,x@example.com"); status != 200 ||
		!strings.Contains(page, "write key-user or it-contact") || strings.Contains(page, "Start import") {
		t.Errorf("problems: %d", status)
	}
	status, page, path := c.hand(olga, "tenants", importedTenants)
	if status != 200 || !strings.Contains(page, "Start import") || !strings.Contains(page, "0 of 1 tenants imported") {
		t.Fatalf("checked: %d\n%s", status, page)
	}
	if !strings.Contains(page, "First renewals") {
		t.Error("the run that renews the new certificates is not shown")
	}
	if _, page := c.post(olga, path+"/apply", "sure", "yes"); !strings.Contains(page, "Importing") {
		t.Error("it does not start")
	}
	c.work()
	if _, page := c.get(olga, path); !strings.Contains(page, "Imported") ||
		!strings.Contains(page, "1 of 1 tenants imported") {
		t.Error("it does not end")
	}
	if _, page := c.get(olga, "/tenants/imported"); strings.Contains(page, "<script>alert") ||
		!strings.Contains(page, "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co.") {
		t.Error("the tenant's name is not shown as text")
	}
	c.post(olga, path+"/undo", "sure", "yes")
	c.work()
	if _, page := c.get(olga, path); !strings.Contains(page, "Undone") {
		t.Error("it is not undone")
	}
	if status, _ := c.get(olga, "/tenants/imported"); status != 404 {
		t.Errorf("the tenant is still there: %d", status)
	}
	if status, _, _ := c.hand(c.signIn("alice"), "tenants", importedTenants); status != 404 {
		t.Errorf("by a key user: %d", status)
	}
	if status, _, _ := c.hand(olga, "tenants", strings.Repeat("x", 49<<20)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("49 MiB: %d", status)
	}
}

func TestEachFileOfAnImportMayHaveItsOwnPassword(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	file := func(name, password string) []byte {
		signer, err := keyring.Generate(tenancy.P256)
		check(t, err)
		template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 6, 0),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
		check(t, err)
		leaf, err := x509.ParseCertificate(der)
		check(t, err)
		p12, err := pkcs12.Modern.WithIterations(1).Encode(signer, leaf, nil, password)
		check(t, err)
		return p12
	}
	files := map[string][]byte{"one.p12": file("one", "se: cret "), "two.p12": file("two", "two"),
		"rest.p12": file("rest", "rest")}
	for name, f := range map[string]struct {
		passwords string
		status    int
		want      string
	}{
		"all":            {"one.p12: se: cret \r\n\r\ntwo.p12:two", 200, "0 of 3 tenants imported"},
		"one is missing": {"one.p12: se: cret ", 200, "two.p12"},
		"no colon": {"one.p12: se: cret \r\ntwo.p12 two", 422,
			"Line 2 of the passwords is not of the form FILE: PASSWORD."},
		"another file": {"three.p12: topsecret", 422,
			"Line 1 of the passwords names a file that is not among the certificates: three.p12"},
	} {
		status, page, _ := c.submit(olga, func(form *multipart.Writer) {
			part, err := form.CreateFormFile("tenants", "tenants.csv")
			check(t, err)
			_, err = part.Write([]byte("name\none\ntwo\nrest\n"))
			check(t, err)
			for name, data := range files {
				part, err := form.CreateFormFile("certificates", name)
				check(t, err)
				_, err = part.Write(data)
				check(t, err)
			}
			check(t, form.WriteField("password", "rest"))
			check(t, form.WriteField("passwords", f.passwords))
		})
		if status != f.status || !strings.Contains(page, f.want) || strings.Contains(page, "cret ") ||
			strings.Contains(page, "topsecret") {
			t.Errorf("%s: %d\n%s", name, status, page)
		}
	}
}

func TestManyFilesAreUploadedInMemoryAndATableInAnotherEncodingIsNotChanged(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing")) // a file there would be an error
	table := []byte("name,display_name\nlatin,Gr\xf6\xdfe\n")
	for encoding, want := range map[string]string{"": "t.csv: line 2 is not in UTF-8", "windows-1252": "Start import"} {
		status, page, path := c.submit(olga, func(form *multipart.Writer) {
			part, err := form.CreateFormFile("tenants", "t.csv")
			check(t, err)
			_, err = part.Write(table)
			check(t, err)
			check(t, form.WriteField("encoding", encoding))
		})
		if !strings.Contains(page, want) {
			t.Errorf("%q: %d, %s", encoding, status, page)
		}
		if encoding != "" {
			c.post(olga, path+"/apply", "sure", "yes")
			c.work()
		}
	}
	if _, page := c.get(olga, "/tenants/latin"); !strings.Contains(page, "Größe") {
		t.Error("the name was changed")
	}
	status, page, _ := c.submit(olga, func(form *multipart.Writer) {
		for i := range 1500 {
			part, err := form.CreateFormFile("certificates", fmt.Sprintf("t%d.pem", i))
			check(t, err)
			_, err = part.Write(bytes.Repeat([]byte("x"), 20<<10))
			check(t, err)
		}
	})
	if status != 200 || strings.Count(page, "among the new tenants") < 900 {
		t.Errorf("1,500 files: %d, %d problems", status, strings.Count(page, "among the new tenants"))
	}
}

// Without its file, a tenant would get another certificate than the operator meant.
func TestAnEmptyFileOfAnImportIsRefused(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for _, field := range []string{"people", "certificates"} {
		status, page, _ := c.hand(olga, "tenants", "name\nfilled\n", field, "")
		if status != http.StatusUnprocessableEntity || !strings.Contains(page, "The file "+field+".csv is empty.") {
			t.Errorf("%s: %d %s", field, status, page)
		}
	}
}

func TestTheFirstRenewalsOfAnImportAreShownAndAccepted(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	signer, err := keyring.Generate(tenancy.P256)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "<b>my300001"},
		NotBefore: c.now().Add(-time.Hour), NotAfter: c.now().AddDate(0, 6, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	check(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(signer)
	check(t, err)
	status, page, path := c.submit(olga, func(form *multipart.Writer) {
		for name, content := range map[string][]byte{"tenants": []byte("name\nsoylent\n"),
			"people": []byte("tenant,role,name,email\nsoylent,key-user,hal,hal@example.com\n"),
			"certificates": append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
				pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)} {
			part, err := form.CreateFormFile(name, map[string]string{"tenants": "t.csv", "people": "p.csv",
				"certificates": "soylent.pem"}[name])
			check(t, err)
			_, err = part.Write(content)
			check(t, err)
		}
	})
	for _, want := range []string{"soylent.pem", "Warned on 1 ", "Issuer", "CN=\\&lt;b\\&gt;my300001 → CN=",
		"Key users: 1, IT contacts: 0", `name="accept_changes"`} {
		if status != 200 || !strings.Contains(page, want) {
			t.Errorf("%d, the page does not contain %q\n%s", status, want, page)
		}
	}
	if strings.Contains(page, "Subject") {
		t.Error("the subject changes")
	}
	if status, page := c.post(olga, path+"/apply", "sure", "yes"); status != 409 ||
		!strings.Contains(page, "Could not start") {
		t.Errorf("without accepting: %d", status)
	}
	if _, page := c.post(olga, path+"/apply", "accept_changes", "yes", "sure", "yes"); !strings.Contains(page,
		"Importing") {
		t.Error("it does not start")
	}
}

func TestAFormIsLimitedInSize(t *testing.T) {
	c := open(t)
	if status, page := c.post(jar(t), "/sign-in", "name", "olga", "password", strings.Repeat("x", 2<<20)); status < 400 ||
		strings.Contains(page, "Sign out") {
		t.Errorf("2 MiB: %d", status)
	}
}

func TestTheFormOfAnImportSpreadsTheExpiryOfNewCertificates(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	for spread, runs := range map[string]int{"": 1, "true": 2, "false": 1} {
		_, page, _ := c.submit(olga, func(form *multipart.Writer) {
			check(t, form.WriteField("spread", spread))
			part, err := form.CreateFormFile("tenants", "tenants.csv")
			check(t, err)
			_, err = part.Write([]byte("name\nspread-a\nspread-b\n"))
			check(t, err)
		})
		_, table, _ := strings.Cut(page, ">First renewals</h2>")
		table, _, _ = strings.Cut(table, "</table>")
		if got := strings.Count(table, "<th scope=\"row\">"); got != runs {
			t.Errorf("spread %q: %d runs, want %d", spread, got, runs)
		}
	}
}

func TestTheImportPageNamesEveryColumnAndItsExampleIsValid(t *testing.T) {
	c := open(t)
	olga := c.signIn("olga")
	_, page := c.get(olga, "/imports")
	page = html.UnescapeString(page)
	for table, columns := range importing.Columns() {
		if !strings.Contains(page, strings.Join(columns, ", ")) {
			t.Errorf("the form does not name the columns of %s: %q", table, columns)
		}
	}
	_, example, _ := strings.Cut(page, "tenants.csv\n")
	example, _, _ = strings.Cut(example, "</pre>")
	tenants, rest, _ := strings.Cut(example, "\n\npeople.csv\n")
	people, arrangements, found := strings.Cut(rest, "\n\narrangements.csv\n")
	if !found {
		t.Fatalf("the page has no example of the three tables: %q", example)
	}
	tenants, people = strings.ReplaceAll(tenants, "acme", "other"), strings.ReplaceAll(people, "acme", "other")
	arrangements = strings.ReplaceAll(arrangements, "acme", "other")
	_, page, _ = c.hand(olga, "tenants", tenants, "people", people, "arrangements", arrangements)
	if strings.Contains(page, "Problems") || !strings.Contains(page, "Checked by operator olga") ||
		!strings.Contains(page, "Key users: 1, IT contacts: 1, arrangements: 1") {
		t.Error("the example is not valid")
	}
}
