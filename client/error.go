package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// An Error is the problem (RFC 9457) with which a service refuses a request.
type Error struct {
	URL    string // address of the service
	Status int    // HTTP status code
	Detail string // what happened and what to do next; empty if the service sent no problem
	Fields []FieldError
}

// FieldError is an error in one field of a request.
type FieldError struct {
	Field   string // such as "endpoint"
	Message string
}

// invalidBody is the detail of a problem whose fields are more specific.
const invalidBody = "validation failed"

// Error returns the detail, or the messages about the fields if these are more specific.
func (e *Error) Error() string {
	switch {
	case e.Detail == "":
		return fmt.Sprintf("%s answered %d %s without a reason: is it the address of a Perennial service?", e.URL, e.Status,
			http.StatusText(e.Status))
	case e.Detail != invalidBody || len(e.Fields) == 0:
		return e.Detail
	}
	messages := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		messages[i] = f.Field + ": " + f.Message
	}
	return strings.Join(messages, "; ")
}

// problem is the wire format of an error.
type problem struct {
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	} `json:"errors"`
}

// fromGateway is the header of the answers that a gateway gives itself.
const fromGateway = "Perennial-Gateway"

func (c *Client) readError(res *http.Response, data []byte) *Error {
	e := &Error{URL: c.base, Status: res.StatusCode}
	if res.Header.Get(fromGateway) != "" {
		e.Detail = c.base + " is a gateway, which forwards messages and has no API: use the address of the service"
		return e
	}
	var p problem
	if json.Unmarshal(data, &p) != nil { // of a proxy, for example
		return e
	}
	e.Detail = p.Detail
	for _, f := range p.Errors {
		e.Fields = append(e.Fields, FieldError{Field: strings.TrimPrefix(f.Location, "body."), Message: f.Message})
	}
	return e
}
