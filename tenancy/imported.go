package tenancy

import "time"

// An Import brings in a fleet from elsewhere. It is checked, then applied, and can be undone.
type Import struct {
	ID        string
	State     ImportState
	CreatedBy string
	CreatedAt time.Time
	Total     int    // number of tenants
	Changing  int    // number of certificates whose first renewal changes more than their key and dates
	Done      int    // number of tenants that are imported, or undone
	Problems  string // JSON: the errors in the files, by line
	LastError string // the reason why applying or undoing stopped
	Runs      []ImportRun
}

// An ImportRun is a run that will renew certificates of an import for the first time.
type ImportRun struct {
	At       time.Time `json:"at"`
	Renewals int       `json:"renewals"`
}

// PlanLife is the time for which a checked import may be applied. What its renewals change may differ afterwards.
const PlanLife = 24 * time.Hour

// ImportState is the state of an import.
type ImportState string

// An import is checked, and applied and undone in the background.
const (
	ImportChecked  ImportState = "checked"
	ImportApplying ImportState = "applying"
	ImportApplied  ImportState = "applied"
	ImportUndoing  ImportState = "undoing"
	ImportUndone   ImportState = "undone"
)

// Imported records the objects that an import created for a tenant.
type Imported struct {
	Tenant string // name
	Made   string // JSON
}
