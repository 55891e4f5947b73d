-- A new issuing CA is announced, and its receivers are asked, before it signs.

-- +goose Up
ALTER TABLE authorities ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0; -- 0: from its beginning on

-- Whether the receiver of an arrangement trusts an authority that was announced.
CREATE TABLE trust (
    authority_id   TEXT NOT NULL,
    arrangement_id TEXT NOT NULL REFERENCES arrangements (id) ON DELETE CASCADE,
    verdict        TEXT NOT NULL,   -- trusted, untrusted
    at             BIGINT NOT NULL,
    source         TEXT NOT NULL,   -- probe, person
    detail         TEXT NOT NULL,   -- what the receiver answered
    PRIMARY KEY (authority_id, arrangement_id)
) /*sqlite WITHOUT ROWID */;

-- What was parked under an Idempotency-Key, as a sealed digest: another message under the same key is refused. NULL in messages
-- from before.
ALTER TABLE parked ADD COLUMN sealed_digest BYTEA;

-- +goose Down
ALTER TABLE parked DROP COLUMN sealed_digest;
DROP TABLE trust;
ALTER TABLE authorities DROP COLUMN signs_from;
