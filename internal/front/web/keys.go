package web

// A shortcut is a key of the keyboard and what it does.
type shortcut struct{ keys, text string }

// shortcuts lists those of keys.js.
func (v *view) shortcuts() []shortcut {
	return []shortcut{{"j", v.T("Next row of the list")}, {"k", v.T("Previous row")}, {"o", v.T("Open the row")},
		{"x", v.T("Choose the row for an action")}, {"/", v.T("Go to the search field")},
		{"?", v.T("Show this list")}, {"Ctrl+K, ⌘K", v.T("Go to any page, or find something")}}
}
