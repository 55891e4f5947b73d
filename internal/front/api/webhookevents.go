package api

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/perennial-pki/perennial/webhook"
)

// describeEvents adds the events of webhooks to the description of the API (OpenAPI 3.1, "webhooks"). Nothing here
// serves a request.
func describeEvents(api huma.API) {
	o := api.OpenAPI()
	o.Webhooks = map[string]*huma.PathItem{}
	for _, d := range webhook.Definitions() {
		data := o.Components.Schemas.Schema(reflect.TypeOf(d.New()).Elem(), true, "")
		// Later versions add fields, so a receiver that validates an event accepts others too.
		o.Components.Schemas.SchemaFromRef(data.Ref).AdditionalProperties = true
		o.Webhooks[string(d.Type)] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "event-" + string(d.Type), Summary: d.Doc, Tags: []string{"events"},
			Parameters: []*huma.Param{
				eventHeader(webhook.HeaderID, "ID of the event. It is the same at every attempt and replay."),
				eventHeader(webhook.HeaderTimestamp, "Time of the attempt, in seconds since 1970."),
				eventHeader(webhook.HeaderSignature, "Signatures, as Standard Webhooks defines them, separated by spaces."),
			},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
				"application/cloudevents+json": {Schema: eventSchema(d, data)}}},
			Responses: map[string]*huma.Response{"2XX": {Description: "The event is accepted. After any other answer, it is " +
				"sent again."}, "410": {Description: "The endpoint is gone. The webhook is disabled."}},
			Security: []map[string][]string{{}},
		}}
	}
}

func eventHeader(name, doc string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Required: true, Description: doc, Schema: &huma.Schema{Type: "string"}}
}

// eventSchema returns the schema of an event of one type, in the JSON format of CloudEvents 1.0.
func eventSchema(d webhook.Definition, data *huma.Schema) *huma.Schema {
	text := func(doc string, values ...any) *huma.Schema {
		return &huma.Schema{Type: "string", Description: doc, Enum: values}
	}
	at := text("Time of the event.")
	at.Format = "date-time"
	return &huma.Schema{Type: "object", Properties: map[string]*huma.Schema{
		"specversion": text("Version of CloudEvents.", "1.0"), "id": text("ID of the event."),
		"source": text("Base URL of the installation."), "type": text("", string(d.Type)),
		"subject": text("What the event is about, in the form of the audit log."), "time": at,
		"datacontenttype": text("", "application/json"), "data": data,
	}, Required: []string{"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}}
}
