package store

import "context"

// AnnouncedToAll is the progress of an announcement that has reached every tenant.
const AnnouncedToAll = "~" // after every ID

// Announcement returns how far the announcement of an authority has got: the ID of the last tenant that was notified,
// "" for none, or [AnnouncedToAll].
func (t *Tx) Announcement(ctx context.Context, authorityID string) (toldTo string, err error) {
	if _, err := t.exec(ctx, "INSERT INTO announcements (authority_id, told_to) VALUES (?, '') ON CONFLICT "+
		"(authority_id) DO NOTHING", authorityID); err != nil {
		return "", err
	}
	return one(ctx, t.Reader, "announcement", scanOne[string], "SELECT told_to FROM announcements WHERE authority_id = ?",
		authorityID)
}

// AdvanceAnnouncement stores the progress of an announcement. ok is false if another replica has advanced it meanwhile.
func (t *Tx) AdvanceAnnouncement(ctx context.Context, authorityID, from, to string) (ok bool, err error) {
	n, err := t.exec(ctx, "UPDATE announcements SET told_to = ? WHERE authority_id = ? AND told_to = ?", to, authorityID,
		from)
	return n == 1, err
}
