package client

import (
	"time"

	"github.com/perennial-pki/perennial/tenancy"
)

// Task is a task of one key user.
type Task struct {
	ID          string             `json:"id"`
	User        string             `json:"user"`
	Type        tenancy.NoticeKind `json:"type" enum:"expiring,renewed,unready,done,over,authority,by-hand,differs,watch-expected,watch-renewed,watch-alarm"`
	Subject     string             `json:"subject" doc:"As in the mail."`
	Title       string             `json:"title" readOnly:"true" required:"false" doc:"What it is about, in the language of the caller."`
	Arrangement string             `json:"arrangement,omitempty" readOnly:"true" doc:"The arrangement that it is about, if it is exactly one. A task about receivers that are not ready is about those that are at risk now."`
	Watched     string             `json:"watched,omitempty" readOnly:"true" doc:"The watched certificate that it is about."`
	State       tenancy.TaskState  `json:"state" enum:"open,in-process,completed"`
	Note        string             `json:"note,omitempty"`
	Closed      string             `json:"closed,omitempty" readOnly:"true" doc:"Why the service closed it, in the language of the caller. Absent if a person completed it, or if it is open."`
	DueAt       time.Time          `json:"due_at"`
	CreatedAt   time.Time          `json:"created_at"`
	CompletedAt time.Time          `json:"completed_at,omitzero"`
}

// Project is an implementation project with the questions of its scope.
type Project struct {
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at,omitzero" readOnly:"true"`
	Questions []Question `json:"questions" readOnly:"true" required:"false"`
}

// Question is a question of the scope and its answer.
type Question struct {
	ID         string    `json:"id"`
	Path       string    `json:"path" doc:"Path to the question in the project scope."`
	Text       string    `json:"text"`
	Help       string    `json:"help"`
	Answer     string    `json:"answer" enum:"yes,no,unanswered"`
	AnsweredBy string    `json:"answered_by,omitempty"`
	AnsweredAt time.Time `json:"answered_at,omitzero"`
}

// ScopeAnswer is the default answer of new tenants to the question about mail for tasks.
type ScopeAnswer struct {
	Answer tenancy.ScopeAnswer `json:"answer" enum:"yes,no,unanswered"`
}

// Answered is the result of an answer for all tenants that have not answered a question.
type Answered struct {
	Tenants int `json:"tenants" doc:"Number of tenants that now have this answer. Tenants with their own answer keep it."`
}
