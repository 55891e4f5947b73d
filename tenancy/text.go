package tenancy

import "fmt"

// A Text is a sentence for a person. It keeps its parts, so that it can be shown in another language.
type Text struct {
	Format string // in English, as for [fmt.Sprintf]; it identifies the text
	Args   []any  // they may contain further texts, and errors with texts
}

// Say returns a text.
func Say(format string, args ...any) Text { return Text{format, args} }

// String returns the text in English.
func (t Text) String() string { return fmt.Sprintf(t.Format, t.Args...) }
