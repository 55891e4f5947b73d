-- A new issuing CA is announced, and the receivers are asked about it, before it signs.

-- +goose Up
ALTER TABLE authorities ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0; -- 0 for its beginning

-- Whether the receiver of an arrangement trusts an authority that was announced.
CREATE TABLE trust (
    authority_id   TEXT NOT NULL,
    arrangement_id TEXT NOT NULL REFERENCES arrangements (id) ON DELETE CASCADE,
    verdict        TEXT NOT NULL,   -- trusted, untrusted
    at             BIGINT NOT NULL,
    source         TEXT NOT NULL,   -- probe, person
    detail         TEXT NOT NULL,   -- the receiver's answer
    PRIMARY KEY (authority_id, arrangement_id)
) /*sqlite WITHOUT ROWID */;

-- The sealed digest of the message that was parked under an Idempotency-Key. A different message under the same key is refused.
-- NULL in older messages.
ALTER TABLE parked ADD COLUMN sealed_digest BYTEA;

-- +goose Down
ALTER TABLE parked DROP COLUMN sealed_digest;
DROP TABLE trust;
ALTER TABLE authorities DROP COLUMN signs_from;
