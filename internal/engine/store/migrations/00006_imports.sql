-- Fleets that come from elsewhere, and how to take them back.

-- +goose Up
CREATE TABLE imports (
    id         TEXT PRIMARY KEY,
    state      TEXT NOT NULL, -- checked, applying, applied, undoing, undone
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    total      BIGINT NOT NULL, -- tenants that it is about
    done       BIGINT NOT NULL, -- of those
    problems   TEXT NOT NULL,   -- JSON: what was wrong with the files, by line
    last_error TEXT NOT NULL,   -- why applying or undoing does not go on
    plan       BYTEA            -- sealed: it has private keys in it; NULL once it was applied
);

-- What an import made, a tenant a row.
CREATE TABLE import_items (
    import_id TEXT NOT NULL REFERENCES imports (id),
    tenant    TEXT NOT NULL, -- name
    made      TEXT NOT NULL, -- JSON: identifiers
    PRIMARY KEY (import_id, tenant)
);

-- Certificates of authorities that are not ours, which issued certificates that were imported.
CREATE TABLE foreign_issuers (
    id  TEXT PRIMARY KEY, -- SHA-256, in hexadecimal
    der BYTEA NOT NULL
);

-- +goose Down
DROP TABLE foreign_issuers;
DROP TABLE import_items;
DROP TABLE imports;
