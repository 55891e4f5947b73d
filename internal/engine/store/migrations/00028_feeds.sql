-- An arrangement can publish its certificates at an address with a secret.
-- compatible from: 12

-- +goose Up
CREATE TABLE feeds (
    arrangement_id       TEXT PRIMARY KEY REFERENCES arrangements (id) ON DELETE CASCADE,
    hash                 TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, in hexadecimal
    created_by           TEXT NOT NULL,
    created_at           BIGINT NOT NULL, -- of the present address
    sequence             BIGINT NOT NULL, -- of the content that was published last; 0 for none
    digest               TEXT NOT NULL,   -- of that content: SHA-256, in hexadecimal
    fetched_at           BIGINT NOT NULL,
    fetched_sequence     BIGINT NOT NULL,
    fetched_generation   BIGINT NOT NULL, -- the newest that was ever fetched
    fetched_by           TEXT NOT NULL,   -- the program, as it names itself
    installed_at         BIGINT NOT NULL,
    installed_sequence   BIGINT NOT NULL,
    installed_generation BIGINT NOT NULL,
    installed_by         TEXT NOT NULL
) /*sqlite WITHOUT ROWID */;
CREATE INDEX feeds_by_fetch ON feeds (fetched_at);

-- +goose Down
DROP TABLE feeds;
