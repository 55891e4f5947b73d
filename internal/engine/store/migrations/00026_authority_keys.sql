-- The key of an issuing CA can be at a key management service or in a token.
-- compatible from: 12

-- +goose Up
ALTER TABLE authorities ADD COLUMN key_uri TEXT NOT NULL DEFAULT ''; -- then there is no sealed key; '' for others
ALTER TABLE authority_requests ADD COLUMN key_uri TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE authority_requests DROP COLUMN key_uri;
ALTER TABLE authorities DROP COLUMN key_uri;
