-- The key of a root of the service can be taken offline.
-- compatible from: 12

-- +goose Up
ALTER TABLE authorities ADD COLUMN crl BYTEA NOT NULL DEFAULT ''; -- the last revocation list of a root whose key was removed; '' for others

-- +goose Down
ALTER TABLE authorities DROP COLUMN crl;
