-- A token remembers the credential that created it, so that revoking a leaked one can end what was created with it.
-- compatible from: 12

-- +goose Up
ALTER TABLE tokens ADD COLUMN origin TEXT NOT NULL DEFAULT ''; -- as accounts.origin; '' if a person at the host or an earlier release created it
CREATE INDEX tokens_origin ON tokens (origin) WHERE origin <> '';

-- +goose Down
DROP INDEX tokens_origin;
ALTER TABLE tokens DROP COLUMN origin;
