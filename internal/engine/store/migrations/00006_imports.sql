-- Imports of fleets, and how to undo them.

-- +goose Up
CREATE TABLE imports (
    id         TEXT PRIMARY KEY,
    state      TEXT NOT NULL, -- checked, applying, applied, undoing, undone
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    total      BIGINT NOT NULL, -- number of tenants
    done       BIGINT NOT NULL, -- tenants that are done
    problems   TEXT NOT NULL,   -- JSON: the errors in the files, by line
    last_error TEXT NOT NULL,   -- why applying or undoing cannot continue
    plan       BYTEA            -- sealed, because it holds private keys. NULL once it was applied
);

-- What an import created, one row per tenant.
CREATE TABLE import_items (
    import_id TEXT NOT NULL REFERENCES imports (id),
    tenant    TEXT NOT NULL, -- name
    made      TEXT NOT NULL, -- JSON: identifiers
    PRIMARY KEY (import_id, tenant)
);

-- Certificates of foreign authorities that issued imported certificates.
CREATE TABLE foreign_issuers (
    id  TEXT PRIMARY KEY, -- SHA-256, in hexadecimal
    der BYTEA NOT NULL
);

-- +goose Down
DROP TABLE foreign_issuers;
DROP TABLE import_items;
DROP TABLE imports;
