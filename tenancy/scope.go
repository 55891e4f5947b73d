package tenancy

import "time"

// A Question is a question of the business configuration. Only those that Perennial acts on exist.
type Question struct {
	ID   string   // stable: "send-email-for-task"
	Path []string // to the question in the business configuration, outermost first
	Text Text
	Help Text
}

// PathText returns the path as it is shown.
func (q Question) PathText() string {
	text := "Business Configuration > Implementation Projects > edit project scope > Questions"
	for _, p := range q.Path {
		text += " > " + p
	}
	return text
}

// MailForTasks is the ID of the question that enables mail for tasks.
const MailForTasks = "send-email-for-task"

// Questions are all questions, in the order of their paths.
var Questions = []Question{{
	ID: MailForTasks,
	Path: []string{"Communication and Information Exchange", "Business Process Management", "Business Task Management",
		"send e-mail for the task"},
	Text: Say("Do you want to send an e-mail to key users when they get a task?"),
	Help: Say("Key users who chose Subscribe to Task are then mailed about every later task. Earlier tasks are never " +
		"mailed."),
}}

// A ScopingProject is an implementation project of a tenant. Its answers define the scope of the tenant.
type ScopingProject struct {
	ID        string
	TenantID  string
	Name      string
	Answers   []Answer
	CreatedAt time.Time
	Version   int64
}

// FirstProject is the name of the project that is created with every tenant.
const FirstProject = "First Implementation"

// An Answer is the answer to a question, with its author and time.
type Answer struct {
	Question string
	Yes      bool
	By       string
	At       time.Time
}

// A ScopeAnswer is the answer of a tenant to a question, or states that there is none.
type ScopeAnswer string

// The answers.
const (
	Unanswered  ScopeAnswer = "unanswered"
	AnsweredYes ScopeAnswer = "yes"
	AnsweredNo  ScopeAnswer = "no"
)

// Answers returns the answer as a project stores it; empty if it is [Unanswered] or empty.
func (a ScopeAnswer) Answers(question, by string, at time.Time) []Answer {
	if a != AnsweredYes && a != AnsweredNo {
		return nil
	}
	return []Answer{{Question: question, Yes: a == AnsweredYes, By: by, At: at}}
}

// InScope reports whether any of the projects answers the question with yes.
func InScope(projects []ScopingProject, question string) bool {
	for _, p := range projects {
		for _, a := range p.Answers {
			if a.Question == question && a.Yes {
				return true
			}
		}
	}
	return false
}

// A Condition is a requirement for getting mail, with the step that fulfils it.
type Condition struct {
	Name  Text
	Holds bool
	Fix   Text // the zero value if the condition holds
}

// A Recipient holds the facts that decide whether a person gets mail about a task.
type Recipient struct {
	InScope    bool // the scoping question of the tenant is answered yes
	Assigned   bool // the person is a key user of the tenant
	Subscribed bool // the person chose Subscribe to Task
}

// MailConditions returns the three conditions under which a key user gets mail about a task (SAP KBA 2969948).
func MailConditions(r Recipient) []Condition {
	q := Questions[0]
	conditions := []Condition{
		{Say("the scoping question \"send e-mail for the task\" is answered yes"), r.InScope,
			Say("Answer it with yes: %s", q.PathText())},
		{Say("the user has the task: is a key user of the tenant"), r.Assigned,
			Say("Make the person a key user of the tenant.")},
		{Say("the user chose Subscribe to Task"), r.Subscribed,
			Say("Open Business Task Management and choose Subscribe to Task; it applies from the next notice on.")},
	}
	for i := range conditions {
		if conditions[i].Holds {
			conditions[i].Fix = Text{}
		}
	}
	return conditions
}
