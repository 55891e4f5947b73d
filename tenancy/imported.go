package tenancy

import "time"

// An Import brings a fleet from elsewhere. It is checked first, then applied, and can be taken back.
type Import struct {
	ID        string
	State     ImportState
	CreatedBy string
	CreatedAt time.Time
	Total     int    // tenants that it is about
	Done      int    // of those
	Problems  string // JSON: what was wrong with the files, by line
	LastError string // why applying or undoing does not go on
}

// ImportState is where an import is on its way.
type ImportState string

// An import is checked, and applied and undone in the background.
const (
	ImportChecked  ImportState = "checked"
	ImportApplying ImportState = "applying"
	ImportApplied  ImportState = "applied"
	ImportUndoing  ImportState = "undoing"
	ImportUndone   ImportState = "undone"
)

// Imported is what an import made of one tenant.
type Imported struct {
	Tenant string // name
	Made   string // JSON
}
