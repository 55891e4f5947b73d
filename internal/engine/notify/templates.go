package notify

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	texttemplate "text/template"

	"github.com/perennial-pki/perennial/internal/engine/notify/markup"
	"github.com/perennial-pki/perennial/tenancy"
)

//go:embed templates
var builtIn embed.FS

// Templates holds the texts of the mails: one for each kind of notice and language, in the markup of package markup. A
// folder may also have pairs of a text file and an HTML file for a kind, as in earlier releases. A pair is used in
// every language.
type Templates struct {
	own   map[tenancy.NoticeKind]map[string]*markup.Template // by language
	pairs map[tenancy.NoticeKind]pair
}

// A pair writes the plain text and the HTML of a mail. It shares the built-in templates "changes" and "genuine".
type pair struct {
	text *texttemplate.Template
	html *htmltemplate.Template
}

var noticeKinds = []tenancy.NoticeKind{tenancy.Expiring, tenancy.Renewed, tenancy.Unready, tenancy.Done, tenancy.Over,
	tenancy.NewAuthority, tenancy.ByHand, tenancy.Differs, tenancy.StopAsked, tenancy.MailsStopped, tenancy.AuditHead,
	tenancy.TokensEnd, tenancy.AuthorityAwaited, tenancy.WatchExpected, tenancy.WatchRenewed, tenancy.WatchAlarmed,
	tenancy.AdministratorExpiring, tenancy.AdministratorRenewed, tenancy.AdministratorUnready,
	tenancy.AdministratorDone, tenancy.AdministratorRetired, tenancy.AdministratorStopped}

// superseded is the template of a letter of any kind that is obsolete because of a revocation.
const superseded tenancy.NoticeKind = "superseded"

// toOperators are the kinds of mails to the hosting team. They are in English.
var toOperators = []tenancy.NoticeKind{tenancy.AuditHead, tenancy.TokensEnd, tenancy.AuthorityAwaited}

const (
	extension = ".mail"
	parts     = "parts" + extension // shared by the templates of a language
)

// LoadTemplates reads the templates in a folder, and the built-in ones for the kinds and languages that it lacks. For
// "" it returns the built-in ones. A folder without any template is an error.
func LoadTemplates(dir string) (*Templates, error) {
	if dir == "" {
		return builtInTemplates()
	}
	return loadTemplates(dir)
}

// builtInTemplates are parsed once in a process. No template changes after it was loaded.
var builtInTemplates = sync.OnceValues(func() (*Templates, error) { return loadTemplates("") })

func loadTemplates(dir string) (*Templates, error) {
	ours, err := fs.Sub(builtIn, "templates")
	if err != nil {
		return nil, err
	}
	t := &Templates{map[tenancy.NoticeKind]map[string]*markup.Template{}, map[tenancy.NoticeKind]pair{}}
	found := dir == ""
	for _, kind := range append(slices.Clone(noticeKinds), superseded) {
		t.own[kind] = map[string]*markup.Template{}
		for _, language := range tenancy.Languages() {
			from := ours
			if dir != "" && exists(os.DirFS(dir), path.Join(language, string(kind)+extension)) {
				from, found = os.DirFS(dir), true
			}
			if language != tenancy.English && slices.Contains(toOperators, kind) && from == ours {
				continue
			}
			if err := t.load(from, ours, kind, language); err != nil {
				return nil, fmt.Errorf("mail templates: %w", err)
			}
		}
		if dir == "" || !exists(os.DirFS(dir), string(kind)+".txt") && !exists(os.DirFS(dir), string(kind)+".html") {
			continue
		}
		found = true
		if err := t.loadPair(os.DirFS(dir), ours, kind); err != nil {
			return nil, fmt.Errorf("mail templates: %w", err)
		}
	}
	if !found {
		return nil, fmt.Errorf("mail templates: the folder %s has none: write one such as en/renewed.mail, or leave "+
			"--mail-templates out", dir)
	}
	return t, nil
}

func exists(files fs.FS, name string) bool {
	_, err := fs.Stat(files, name)
	return !errors.Is(err, fs.ErrNotExist)
}

// load reads the template of a kind in a language. It can use the built-in parts of the language, or those beside it.
func (t *Templates) load(from, ours fs.FS, kind tenancy.NoticeKind, language string) error {
	name := path.Join(language, string(kind)+extension)
	shared := path.Join(language, parts)
	files := overlay{from, ours}
	own, err := markup.Parse(files, name, []string{shared}, nil)
	if err != nil {
		return err
	}
	t.own[kind][language] = own
	// Report a misspelt name now, not on the first of the month.
	sample := sampleLetter
	sample.Kind, sample.Language = kind, language
	_, err = own.Execute(sample)
	return err
}

// sampleLetter has at least one of everything that a template can list.
var sampleLetter = Letter{New: &Details{}, Authority: &Details{}, NewRoot: &Details{},
	Arrangements: []Affected{{PageToPassOn: "https://p.example.com"}},
	NewCAs:       []Details{{}}, Watched: &WatchFacts{Systems: []SystemAdvice{{}}},
	Administered: &Administered{Party: &PartyFacts{Lines: []tenancy.ReportedCertificate{{}}}},
	Stopped:      &tenancy.StopReport{}}

// An overlay reads a file from the first file system that has it.
type overlay [2]fs.FS

// Open opens a file.
func (o overlay) Open(name string) (fs.File, error) {
	if f, err := o[0].Open(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	return o[1].Open(name)
}

// loadPair reads the text file and the HTML file of a kind.
func (t *Templates) loadPair(from, ours fs.FS, kind tenancy.NoticeKind) error {
	funcs := map[string]any{"day": tenancy.Moment}
	plain, rich := string(kind)+".txt", string(kind)+".html"
	var p pair
	var err error
	shared := texttemplate.Must(texttemplate.New(plain).Funcs(funcs).ParseFS(ours, "pairs/changes.txt",
		"pairs/genuine.txt"))
	if p.text, err = shared.ParseFS(from, plain); err != nil {
		return err
	}
	sharedHTML := htmltemplate.Must(htmltemplate.New(rich).Funcs(funcs).ParseFS(ours, "pairs/changes.html",
		"pairs/genuine.html"))
	if p.html, err = sharedHTML.ParseFS(from, rich); err != nil {
		return err
	}
	t.pairs[kind] = p
	_, _, err = t.render(kind, sampleLetter)
	return err
}

// render returns the plain text and the HTML of a letter.
func (t *Templates) render(kind tenancy.NoticeKind, l Letter) (text, html string, err error) {
	l.Kind, l.Platform.Name = kind, cmp.Or(l.Platform.Name, defaultPlatform)
	if l.Superseded() {
		kind = superseded
	}
	if p, found := t.pairs[kind]; found {
		return p.render(l)
	}
	own, found := t.own[kind][l.Language]
	if !found {
		l.Language = tenancy.English
		own = t.own[kind][l.Language]
	}
	d, err := own.Execute(l)
	if err != nil {
		return "", "", err
	}
	return d.Text(), d.HTML(markup.Frame{Language: l.Language, Title: l.Subject, Brand: l.Platform.sender(l.Language)}),
		nil
}

func (p pair) render(l Letter) (text, html string, err error) {
	var plain, rich bytes.Buffer
	if err := p.text.Execute(&plain, l); err != nil {
		return "", "", err
	}
	if err := p.html.Execute(&rich, l); err != nil {
		return "", "", err
	}
	return plain.String(), rich.String(), nil
}
