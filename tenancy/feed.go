package tenancy

import "time"

// FeedSilence is the time after which a feed that was fetched before counts as silent: 7 days of 24 hours. Followers
// fetch every hour, so a week is longer than a weekend with holidays or the maintenance of a receiver. It is short
// against the 62 days for which the default policy keeps the old generation valid after a renewal.
const FeedSilence = 7 * 24 * time.Hour

// A Feed publishes the certificates that an arrangement presents, now and next, at an address with a secret. It lives
// as long as the arrangement, through all generations. Only the hash of the secret is stored.
type Feed struct {
	ArrangementID string
	CreatedBy     string
	CreatedAt     time.Time // of the present address
	// Sequence grows with every change of the published content; 0 if nothing was published yet.
	Sequence int64
	// Digest is the SHA-256 of the content that was published last, in hexadecimal.
	Digest string
	// Fetched is the latest request for the content, with the newest generation in it. Installed is the latest report of
	// a follower, with the newest generation that it has installed. Both are claims. Repetitions within an hour are left
	// out.
	Fetched, Installed FeedReport
}

// A FeedReport is what the program behind a feed's address did last. At is zero if it did nothing yet.
type FeedReport struct {
	At         time.Time
	Sequence   int64
	Generation int
	Program    string // as it names itself
}

// Silent reports whether a feed was fetched before, and not within [FeedSilence] before now.
func (f Feed) Silent(now time.Time) bool {
	return !f.Fetched.At.IsZero() && now.Sub(f.Fetched.At) > FeedSilence
}

// A CounterpartyFeed publishes the certificates of all arrangements with a counterparty at one address with a secret:
// an index, and one document for each arrangement. Only the hash of the secret is stored.
type CounterpartyFeed struct {
	CounterpartyID string
	CreatedBy      string
	CreatedAt      time.Time // of the present address
	// Sequence grows with every change of the index; 0 if none was published yet.
	Sequence int64
	// Digest is the SHA-256 of the index that was published last, in hexadecimal.
	Digest string
	// FetchedAt and FetchedBy are about the latest request for the index, and InstalledAt and InstalledBy about the latest
	// report of a follower. Both are claims. Repetitions within an hour are left out.
	FetchedAt   time.Time
	FetchedBy   string
	InstalledAt time.Time
	InstalledBy string
}

// Silent reports whether a feed was fetched before, and not within [FeedSilence] before now.
func (f CounterpartyFeed) Silent(now time.Time) bool {
	return !f.FetchedAt.IsZero() && now.Sub(f.FetchedAt) > FeedSilence
}
