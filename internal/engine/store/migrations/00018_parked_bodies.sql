-- Large bodies of parked messages are stored in chunks beside the message, and each tenant has a quota.
-- compatible from: 12

-- +goose Up
-- The size of the stored request without its body's chunks, and the number of these. 0 if an earlier release stored it.
ALTER TABLE parked ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE parked ADD COLUMN chunks BIGINT NOT NULL DEFAULT 0;
CREATE INDEX parked_by_tenant ON parked (tenant_id, bytes) WHERE state = 'waiting';

-- A body, from the arrival of its first chunk on. Its ID is that of the message, which is stored after the last chunk.
CREATE TABLE parked_bodies (
    id         TEXT PRIMARY KEY,
    tenant_id  TEXT NOT NULL,
    bytes      BIGINT NOT NULL, -- announced by the sender, or stored if that is more
    written_at BIGINT NOT NULL
) /*sqlite WITHOUT ROWID */;
CREATE INDEX parked_bodies_by_tenant ON parked_bodies (tenant_id, bytes);
CREATE INDEX parked_bodies_by_age ON parked_bodies (written_at);

CREATE TABLE parked_chunks (
    body_id TEXT NOT NULL REFERENCES parked_bodies (id) ON DELETE CASCADE,
    n       BIGINT NOT NULL, -- from 0
    sealed  BYTEA NOT NULL,
    PRIMARY KEY (body_id, n)
);

-- +goose Down
DROP TABLE parked_chunks;
DROP TABLE parked_bodies;
DROP INDEX parked_by_tenant;
ALTER TABLE parked DROP COLUMN chunks;
ALTER TABLE parked DROP COLUMN bytes;
