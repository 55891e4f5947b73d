package tenancy

import (
	"errors"
	"fmt"
)

// The kinds of error that a caller decides by: test with [errors.Is].
var (
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	ErrRefused  = errors.New("refused") // a rule of the domain says no
	ErrStale    = errors.New("changed meanwhile")
)

// A RuleError is an error of one of the kinds above, with a message for the person who caused it.
type RuleError struct {
	Kind    error
	Field   string // the field that is wrong; may be empty
	Message string
}

func (e *RuleError) Error() string {
	if e.Field != "" {
		return e.Field + ": " + e.Message
	}
	return e.Message
}

// Unwrap is the kind.
func (e *RuleError) Unwrap() error { return e.Kind }

// Errorf is an error of the kind.
func Errorf(kind error, format string, args ...any) error {
	return &RuleError{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Invalid is an [ErrInvalid] about a field.
func Invalid(field, format string, args ...any) error {
	return &RuleError{Kind: ErrInvalid, Field: field, Message: fmt.Sprintf(format, args...)}
}
