package tenancy

import (
	"fmt"
	"time"
)

// A Text is a sentence for a person. It keeps its parts, so that it can be shown in another language.
type Text struct {
	Format string // in English, as for [fmt.Sprintf]; it identifies the text
	Args   []any  // they may contain further texts, and errors with texts
}

// Say returns a text.
func Say(format string, args ...any) Text { return Text{format, args} }

// String returns the text in English.
func (t Text) String() string { return fmt.Sprintf(t.Format, t.Args...) }

// Moment returns an instant in an English sentence: 2 January 2006, 15:04 UTC.
func Moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04 MST") }
