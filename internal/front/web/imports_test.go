package web_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
)

// hand uploads the files of an import: name and content in turn.
func (c *console) hand(client *http.Client, files ...string) (int, string, string) {
	c.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(files); i += 2 {
		part, err := form.CreateFormFile(files[i], files[i]+".csv")
		check(c.t, err)
		_, err = part.Write([]byte(files[i+1]))
		check(c.t, err)
	}
	check(c.t, form.Close())
	res, err := client.Post(c.url+"/imports", form.FormDataContentType(), &body)
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
	if _, page := c.post(olga, path+"/apply"); !strings.Contains(page, "Importing") {
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
	c.post(olga, path+"/undo")
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

func TestAFormIsLimitedInSize(t *testing.T) {
	c := open(t)
	if status, page := c.post(jar(t), "/sign-in", "name", "olga", "password", strings.Repeat("x", 2<<20)); status < 400 ||
		strings.Contains(page, "Sign out") {
		t.Errorf("2 MiB: %d", status)
	}
}
