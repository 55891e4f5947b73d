-- Roll-overs of arrangements, and the data of gateways.

-- +goose Up
-- A generation without a successor is due whatever its state. It must not expire unrenewed because it was never presented.
DROP INDEX certificates_due;
CREATE INDEX certificates_due ON certificates (not_after, id) WHERE successor_id = '';

-- The end of the key users' notice of a generation.
ALTER TABLE certificates ADD COLUMN noticed_until BIGINT NOT NULL DEFAULT 0;
-- Old generations that can still be presented, for the hourly update of roll-overs.
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose = 'tenant' AND successor_id <> '' AND state = 'active';
CREATE INDEX certificates_in_reach ON certificates (tenant_id, generation) WHERE purpose = 'tenant' AND state IN ('standby', 'active');

ALTER TABLE arrangements ADD COLUMN needed_old_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE arrangements ADD COLUMN egress TEXT NOT NULL DEFAULT '{}'; -- how messages are sent, as JSON

-- The evidence about one generation at one receiver.
CREATE TABLE evidence (
    arrangement_id TEXT NOT NULL REFERENCES arrangements (id) ON DELETE CASCADE,
    generation     BIGINT NOT NULL,
    presented_at   BIGINT NOT NULL, -- when it was last cut over to
    verdict        TEXT NOT NULL,   -- '', accepted, refused
    verdict_at     BIGINT NOT NULL,
    source         TEXT NOT NULL,   -- '', traffic, probe, person
    detail         TEXT NOT NULL,   -- the receiver's answer
    PRIMARY KEY (arrangement_id, generation)
) /*sqlite WITHOUT ROWID */;

-- The message log, for users and for the diagnosis. It is kept for a limited time.
CREATE TABLE messages (
    id             TEXT PRIMARY KEY,
    arrangement_id TEXT NOT NULL,
    at             BIGINT NOT NULL,
    method         TEXT NOT NULL,
    path           TEXT NOT NULL, -- without the query
    status         BIGINT NOT NULL, -- 0 if there was no answer
    generation     BIGINT NOT NULL, -- the last one tried
    attempts       BIGINT NOT NULL,
    micros         BIGINT NOT NULL,
    outcome        TEXT NOT NULL, -- '', or the failure
    count          BIGINT NOT NULL -- number of messages that the entry stands for
) /*sqlite WITHOUT ROWID */;
CREATE INDEX messages_by_arrangement ON messages (arrangement_id, id);
CREATE INDEX messages_by_age ON messages (at);

-- Messages that wait for delivery; sealed_request holds headers and body.
CREATE TABLE parked (
    id              TEXT PRIMARY KEY,
    arrangement_id  TEXT NOT NULL,
    tenant_id       TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    method          TEXT NOT NULL,
    path            TEXT NOT NULL, -- without the query
    sealed_request  BYTEA,         -- NULL once it is delivered or given up
    state           TEXT NOT NULL, -- waiting, delivered, failed
    attempts        BIGINT NOT NULL,
    next_at         BIGINT NOT NULL,
    status          BIGINT NOT NULL,
    last_error      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    ended_at        BIGINT NOT NULL,
    UNIQUE (arrangement_id, idempotency_key)
);
CREATE INDEX parked_waiting ON parked (arrangement_id, id) WHERE state = 'waiting';

-- Links for the administrators of receiving systems.
CREATE TABLE links (
    id             TEXT PRIMARY KEY,
    arrangement_id TEXT NOT NULL REFERENCES arrangements (id) ON DELETE CASCADE,
    generation     BIGINT NOT NULL, -- the roll-over that it is for
    hash           TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, in hexadecimal
    created_by     TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    revoked_at     BIGINT NOT NULL,
    used_at        BIGINT NOT NULL
);
CREATE INDEX links_by_arrangement ON links (arrangement_id);

-- +goose Down
DROP TABLE links;
DROP TABLE parked;
DROP TABLE messages;
DROP TABLE evidence;
ALTER TABLE arrangements DROP COLUMN egress;
ALTER TABLE arrangements DROP COLUMN needed_old_at;
DROP INDEX certificates_in_reach;
DROP INDEX certificates_rolling;
ALTER TABLE certificates DROP COLUMN noticed_until;
DROP INDEX certificates_due;
CREATE INDEX certificates_due ON certificates (not_after, id) WHERE successor_id = '' AND state = 'active';
