-- An issuing CA can be revoked: the revocation list of its root has it, and it signs nothing more.
-- compatible from: 12

-- +goose Up
ALTER TABLE authorities ADD COLUMN revoked_at BIGINT NOT NULL DEFAULT 0; -- 0 unless it is revoked
ALTER TABLE authorities ADD COLUMN revoked_for TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE authorities DROP COLUMN revoked_for;
ALTER TABLE authorities DROP COLUMN revoked_at;
