// Package webhook defines what Perennial sends to webhooks: the types of events, their envelope (CloudEvents 1.0),
// their signatures (Standard Webhooks), and the messages that are made of them for chats, alerting and tickets.
//
// It promises that the ID of an event is the same at every attempt, so that a receiver can drop what it has already
// processed, and that no message contains a secret except the routing key of PagerDuty. A program that receives
// webhooks can use [Verify] and [Parse]. The package does no I/O and reads no clock.
package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxEvent limits the size of an event that [Parse] reads, in bytes.
const MaxEvent = 256 << 10

// An Event reports something that has happened. The zero value is not valid.
type Event struct {
	// ID identifies the event. It is the same at every attempt and at every replay.
	ID string
	// Source is the base URL of the installation.
	Source string
	Type   Type
	// Subject names the object of the event, such as acme/crm-to-erp, in the form of the audit log.
	Subject string
	Time    time.Time
	Data    Data
}

// Data is the data of an event. Its type follows from the type of the event, see [Definitions].
type Data interface {
	common() *Common
}

// Common returns the part of the data that all events have.
func (e Event) Common() Common {
	if e.Data == nil {
		return Common{}
	}
	return *e.Data.common()
}

// specVersion is the version of CloudEvents.
const specVersion = "1.0"

// envelope is an event in the JSON format of CloudEvents 1.0.
type envelope struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        Type            `json:"type"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

const jsonContent = "application/json"

// MarshalJSON returns the event in the JSON format of CloudEvents 1.0.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Data == nil {
		return nil, fmt.Errorf("the event %s has no data", e.ID)
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{SpecVersion: specVersion, ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject,
		Time: e.Time.UTC(), ContentType: jsonContent, Data: data})
}

// Parse reads an event in the JSON format of CloudEvents 1.0. The data of a type that this version does not define is
// an [*OtherData].
func Parse(body []byte) (Event, error) {
	if len(body) > MaxEvent {
		return Event{}, fmt.Errorf("the event is larger than %d KiB", MaxEvent>>10)
	}
	var in envelope
	if err := json.Unmarshal(body, &in); err != nil {
		return Event{}, fmt.Errorf("the event is not valid JSON: %w", err)
	}
	switch {
	case in.SpecVersion != specVersion:
		return Event{}, fmt.Errorf("the event has the CloudEvents version %q: only %s is supported", in.SpecVersion,
			specVersion)
	case in.ID == "" || in.Source == "" || in.Type == "":
		return Event{}, errors.New("the event lacks its ID, source or type, which CloudEvents requires")
	case in.ContentType != "" && in.ContentType != jsonContent:
		return Event{}, fmt.Errorf("the event has data of the type %q: only %s is supported", in.ContentType, jsonContent)
	}
	var data Data = &OtherData{}
	if d, ok := DefinitionOf(in.Type); ok {
		data = d.New()
	}
	if len(in.Data) > 0 {
		if err := json.Unmarshal(in.Data, data); err != nil {
			return Event{}, fmt.Errorf("the event %s has data that %s does not have: %w", in.ID, in.Type, err)
		}
	}
	return Event{ID: in.ID, Source: in.Source, Type: in.Type, Subject: in.Subject, Time: in.Time, Data: data}, nil
}
