package store

import "context"

// AnnouncedToAll is the progress of an announcement that has reached every tenant.
const AnnouncedToAll = "~" // after every ID

// Announcement returns the progress of the announcement of an authority: the ID of the last notified tenant, "" for
// none, or [AnnouncedToAll].
func (t *Tx) Announcement(ctx context.Context, authorityID string) (toldTo string, err error) {
	if _, err := t.exec(ctx, "INSERT INTO announcements (authority_id, told_to) VALUES (?, '') ON CONFLICT "+
		"(authority_id) DO NOTHING", authorityID); err != nil {
		return "", err
	}
	told, err := one(ctx, t.Reader, "announcement", scanOne[string],
		"SELECT told_to FROM announcements WHERE authority_id = ?", authorityID)
	if err != nil {
		return "", err
	}
	// A replica of a release without this table may be further ahead during a rolling upgrade.
	other, err := t.SetOnce(ctx, announcedSetting+authorityID, told)
	return max(told, other), err
}

// announcedSetting is the prefix of the setting in which the release before the table of announcements kept the
// progress.
const announcedSetting = "announced/"

// AdvanceAnnouncement stores the progress of an announcement. ok is false if another replica has advanced it in the
// meantime.
func (t *Tx) AdvanceAnnouncement(ctx context.Context, authorityID, from, to string) (ok bool, err error) {
	if ok, err := t.advanceSetting(ctx, announcedSetting+authorityID, from, to); err != nil || !ok {
		return false, err
	}
	_, err = t.exec(ctx, "UPDATE announcements SET told_to = ? WHERE authority_id = ?", to, authorityID)
	return err == nil, err
}
