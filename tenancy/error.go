package tenancy

import "errors"

// The kinds of error that callers distinguish with [errors.Is].
var (
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	ErrRefused  = errors.New("refused") // by a rule of the domain
	ErrStale    = errors.New("changed meanwhile")
	ErrQuota    = errors.New("quota used up")
)

// A RuleError is an error of one of the kinds above, with a text for the person who caused it.
type RuleError struct {
	Kind  error
	Field string // the invalid field; may be empty
	Text  Text
}

func (e *RuleError) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Text.String()
	}
	return e.Text.String()
}

// Unwrap returns the kind.
func (e *RuleError) Unwrap() error { return e.Kind }

// Errorf returns an error of the kind.
func Errorf(kind error, format string, args ...any) error {
	return &RuleError{Kind: kind, Text: Say(format, args...)}
}

// Invalid returns an [ErrInvalid] about a field.
func Invalid(field, format string, args ...any) error {
	return &RuleError{Kind: ErrInvalid, Field: field, Text: Say(format, args...)}
}
