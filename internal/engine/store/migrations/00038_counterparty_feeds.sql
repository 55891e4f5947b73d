-- A counterparty can have one feed with the certificates of all arrangements with it.
-- compatible from: 12

-- +goose Up
CREATE TABLE counterparty_feeds (
    counterparty_id TEXT PRIMARY KEY REFERENCES counterparties (id) ON DELETE CASCADE,
    hash            TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, in hexadecimal
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL, -- of the present address
    sequence        BIGINT NOT NULL, -- of the index that was published last; 0 for none
    digest          TEXT NOT NULL,   -- of that index: SHA-256, in hexadecimal
    fetched_at      BIGINT NOT NULL, -- the index, to the hour
    fetched_by      TEXT NOT NULL,   -- the program, as it names itself
    installed_at    BIGINT NOT NULL, -- the latest report, to the hour
    installed_by    TEXT NOT NULL
) /*sqlite WITHOUT ROWID */;

-- What was published and claimed for each arrangement, once its document was read.
CREATE TABLE counterparty_feed_entries (
    counterparty_id      TEXT NOT NULL REFERENCES counterparty_feeds (counterparty_id) ON DELETE CASCADE,
    arrangement_id       TEXT NOT NULL REFERENCES arrangements (id) ON DELETE CASCADE,
    sequence             BIGINT NOT NULL, -- of the document that was published last; 0 for none
    digest               TEXT NOT NULL,   -- of that document: SHA-256, in hexadecimal
    fetched_at           BIGINT NOT NULL,
    fetched_sequence     BIGINT NOT NULL,
    fetched_generation   BIGINT NOT NULL, -- the newest that was ever fetched
    fetched_by           TEXT NOT NULL,
    installed_at         BIGINT NOT NULL,
    installed_sequence   BIGINT NOT NULL,
    installed_generation BIGINT NOT NULL,
    installed_by         TEXT NOT NULL,
    PRIMARY KEY (counterparty_id, arrangement_id)
) /*sqlite WITHOUT ROWID */;
CREATE INDEX counterparty_feed_entries_by_arrangement ON counterparty_feed_entries (arrangement_id);

-- +goose Down
DROP TABLE counterparty_feed_entries;
DROP TABLE counterparty_feeds;
