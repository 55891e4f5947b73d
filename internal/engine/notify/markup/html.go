package markup

import (
	"fmt"
	"html"
	"strings"
)

// A Frame is what a document is shown in.
type Frame struct {
	Language string // of the document (BCP 47)
	Title    string // the subject of the mail
	Brand    string // the name above the document
}

// The styles are inline, because some mail programs drop style sheets. The classes are for dark mode only.
const (
	font     = "font-family:Arial,Helvetica,sans-serif;"
	mono     = "font-family:Consolas,Menlo,'Courier New',monospace;"
	body     = font + "font-size:16px;line-height:24px;color:#1f2328;"
	small    = font + "font-size:13px;line-height:19px;color:#57606a;"
	breaks   = "word-wrap:break-word;overflow-wrap:anywhere;word-break:break-word;"
	anchored = "color:#0b57d0;text-decoration:underline;"
)

// darkStyle is for programs with a dark mode that read style sheets. The others keep the light colours or invert them.
const darkStyle = `:root{color-scheme:light dark;supported-color-schemes:light dark}
body,table,td{-webkit-text-size-adjust:100%}
@media (max-width:620px){.pad{padding-left:16px!important;padding-right:16px!important}}
@media (prefers-color-scheme:dark){
.page{background:#0d1117!important}.sheet{background:#161b22!important;border-color:#30363d!important}
.ink{color:#e6edf3!important}.dim{color:#9da7b3!important}.link{color:#7ab7ff!important}
.alarm{border-color:#ff7b72!important;color:#ffb3ad!important}.rule{border-color:#30363d!important}
.code{background:#21262d!important;color:#e6edf3!important}
}`

// HTML returns the document as HTML. Its width follows the window, up to 600 px.
func (d Document) HTML(f Frame) string {
	w := &writer{}
	w.printf(`<!doctype html>
<html lang="%[1]s" xmlns:o="urn:schemas-microsoft-com:office:office">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no,date=no,address=no,email=no"><title>%[2]s</title>
<style>%[3]s</style></head>
<body class="page" style="margin:0;padding:0;background:#f3f4f6;">
`, html.EscapeString(f.Language), html.EscapeString(f.Title), darkStyle)
	if lead := d.Lead(); lead != "" { // what lists of mails show beside the subject
		w.printf(`<div style="display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;`+
			`overflow:hidden;mso-hide:all;">%s</div>`+"\n", html.EscapeString(lead))
	}
	w.printf(`<table role="presentation" width="100%%" cellpadding="0" cellspacing="0" border="0" class="page" ` +
		`style="background:#f3f4f6;"><tr><td align="center" style="padding:16px 8px;">
<!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0"><tr><td><![endif]-->
<table role="presentation" width="100%%" cellpadding="0" cellspacing="0" border="0" class="sheet" ` +
		`style="max-width:600px;table-layout:fixed;background:#ffffff;border:1px solid #d8dee4;border-radius:6px;">
<tr><td class="pad" style="padding:20px 28px 24px;text-align:left;` + breaks + `">
`)
	w.printf(`<p class="dim" style="margin:0 0 16px;%s">%s</p>`+"\n", small, html.EscapeString(f.Brand))
	for i, b := range d.Blocks {
		w.block(b, i, d.Blocks)
	}
	w.end(Block{Kind: Paragraph})
	w.printf("</td></tr></table>\n<!--[if mso]></td></tr></table><![endif]-->\n</td></tr></table>\n</body>\n</html>\n")
	return w.String()
}

// A writer writes blocks. It keeps the list or table open that the next block may continue.
type writer struct {
	strings.Builder
	open Kind // Item, Step or Row; otherwise nothing is open
}

func (w *writer) printf(format string, args ...any) { fmt.Fprintf(w, format, args...) }

// closings end what a block of a kind opens.
var closings = map[Kind]string{Item: "</ul>\n", Step: "</ol>\n", Row: "</table>\n"}

// end closes the list or table before a block, unless the block continues it.
func (w *writer) end(b Block) {
	if w.open != b.Kind {
		w.WriteString(closings[w.open])
		w.open = Paragraph
	}
}

// starts opens the list or table of a block, unless it is open.
func (w *writer) starts(b Block, opening string) {
	if w.open != b.Kind {
		w.WriteString(opening)
		w.open = b.Kind
	}
}

func (w *writer) block(b Block, i int, all []Block) {
	if b.Small && (i == 0 || !all[i-1].Small) {
		w.end(Block{Kind: Paragraph})
		w.WriteString(`<div class="rule" style="border-top:1px solid #d8dee4;font-size:1px;line-height:1px;` +
			`margin:24px 0 16px;">&nbsp;</div>` + "\n")
	}
	w.end(b)
	style, class := body, "ink"
	if b.Small {
		style, class = small, "dim"
	}
	text := b.html()
	switch b.Kind {
	case Lead:
		w.printf(`<p class="ink" style="margin:0 0 16px;%sfont-size:19px;line-height:27px;font-weight:bold;">%s</p>`+"\n",
			body, text)
	case Alarm:
		w.printf(`<p class="alarm" style="margin:0 0 16px;padding:4px 0 4px 12px;border-left:4px solid #b42318;%s`+
			`font-size:19px;line-height:27px;font-weight:bold;color:#8a1c12;">%s</p>`+"\n", body, text)
	case Heading:
		w.printf(`<h2 class="%s" style="margin:20px 0 6px;%sfont-weight:bold;">%s</h2>`+"\n", class, style, text)
	case Name:
		w.printf(`<h3 class="ink" style="margin:16px 0 4px;%sfont-weight:bold;">%s</h3>`+"\n", body, text)
	case Item:
		w.starts(b, `<ul style="margin:0 0 8px 22px;padding:0;">`)
		w.printf(`<li class="%s" style="margin:0 0 4px;%s">%s</li>`+"\n", class, style, text)
	case Step:
		w.starts(b, `<ol style="margin:0 0 12px 24px;padding:0;">`)
		w.printf(`<li class="%s" style="margin:0 0 6px;%s">%s</li>`+"\n", class, style, text)
	case Row:
		w.starts(b, `<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" `+
			`style="table-layout:fixed;margin:0 0 12px;">`)
		w.printf(`<tr valign="top"><td width="104" class="dim" style="padding:2px 8px 2px 0;%s">%s</td>`+
			`<td class="dim" style="padding:2px 0;%s%s">%s</td></tr>`+"\n", small, html.EscapeString(b.Name), small, breaks,
			text)
	case Link:
		w.printf(`<p class="%s" style="margin:0 0 12px;%s">%s</p>`+"\n", class, style, text)
	case Button:
		w.button(b)
	case Code:
		w.printf(`<p class="code" style="margin:0 0 12px;padding:8px 10px;background:#f3f4f6;%s%sfont-size:13px;`+
			`line-height:19px;color:#1f2328;">%s</p>`+"\n", mono, breaks, text)
	case Paragraph:
		w.printf(`<p class="%s" style="margin:0 0 16px;%s">%s</p>`+"\n", class, style, text)
	}
}

// button writes a link as a button. A cell with a background colour is the form that Outlook shows.
func (w *writer) button(b Block) {
	for _, s := range b.Spans {
		if s.Address == "" {
			continue
		}
		w.printf(`<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 16px;"><tr>`+
			`<td bgcolor="#0b57d0" style="border-radius:6px;padding:10px 18px;"><a href="%s" style="%scolor:#ffffff;`+
			`font-weight:bold;text-decoration:none;">%s</a></td></tr></table>`+"\n", html.EscapeString(s.Address), body,
			html.EscapeString(s.Text))
	}
}

// html returns the spans of a block as HTML.
func (b Block) html() string {
	var out strings.Builder
	for _, s := range b.Spans {
		text := html.EscapeString(s.Text)
		switch {
		case s.Address != "":
			style := anchored
			if strings.HasPrefix(s.Address, "tel:") { // a number in two lines is hard to read
				style += "white-space:nowrap;"
			}
			fmt.Fprintf(&out, `<a class="link" href="%s" style="%s">%s</a>`, html.EscapeString(s.Address), style, text)
		case s.Bold:
			out.WriteString("<b>" + text + "</b>")
		case s.Code:
			out.WriteString(`<span style="` + mono + `font-size:90%;">` + text + "</span>")
		default:
			out.WriteString(text)
		}
	}
	return out.String()
}
