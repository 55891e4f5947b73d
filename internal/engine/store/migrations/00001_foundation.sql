-- One file serves both engines. SQL in a comment that begins with "sqlite" or "postgres" is for that engine alone. On SQLite, a
-- table without a rowid needs one tree less, and BIGINT PRIMARY KEY becomes INTEGER PRIMARY KEY, the rowid. Instants are
-- microseconds since 1970 in UTC, so that both engines compare and index them alike. 0 stands for "not yet". IDs are UUIDv7 as
-- text.

-- +goose Up
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

CREATE TABLE tenants (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    key_type     TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    version      BIGINT NOT NULL
);

CREATE TABLE key_users (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL REFERENCES tenants (id),
    name              TEXT NOT NULL,
    email             TEXT NOT NULL,
    subscribed_at     BIGINT NOT NULL,
    unsubscribe_token TEXT NOT NULL UNIQUE,
    created_at        BIGINT NOT NULL,
    version           BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
) /*sqlite WITHOUT ROWID */;

CREATE TABLE it_contacts (
    id         TEXT PRIMARY KEY,
    tenant_id  TEXT NOT NULL REFERENCES tenants (id),
    position   BIGINT NOT NULL,
    name       TEXT NOT NULL,
    email      TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
CREATE INDEX it_contacts_by_tenant ON it_contacts (tenant_id, position);

CREATE TABLE receivers (
    id            TEXT PRIMARY KEY,
    tenant_id     TEXT NOT NULL REFERENCES tenants (id),
    name          TEXT NOT NULL,
    display_name  TEXT NOT NULL,
    contact_name  TEXT NOT NULL,
    contact_email TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE arrangements (
    id             TEXT PRIMARY KEY,
    tenant_id      TEXT NOT NULL REFERENCES tenants (id),
    receiver_id    TEXT NOT NULL REFERENCES receivers (id),
    name           TEXT NOT NULL,
    scenario       TEXT NOT NULL,
    endpoint       TEXT NOT NULL,
    authentication TEXT NOT NULL,
    strategy       TEXT NOT NULL,
    generation     BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    version        BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);

-- The authorities of the local CA.
CREATE TABLE authorities (
    id         TEXT PRIMARY KEY,
    kind       TEXT NOT NULL, -- root, issuing
    parent_id  TEXT NOT NULL, -- '' for a root
    der        BYTEA NOT NULL,
    sealed_key BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    not_after  BIGINT NOT NULL,
    position   BIGINT NOT NULL, -- within its kind: replicas that create the next one together create one
    UNIQUE (kind, position)
);

CREATE TABLE certificates (
    id           TEXT PRIMARY KEY,
    tenant_id    TEXT NOT NULL REFERENCES tenants (id),
    purpose      TEXT NOT NULL,
    generation   BIGINT NOT NULL,
    state        TEXT NOT NULL,
    serial       TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    subject      TEXT NOT NULL,
    not_before   BIGINT NOT NULL,
    not_after    BIGINT NOT NULL,
    key_type     TEXT NOT NULL,
    der          BYTEA NOT NULL,
    issuer_id    TEXT NOT NULL,
    sealed_key   BYTEA,           -- NULL once destroyed
    successor_id TEXT NOT NULL,   -- '' until renewed
    warned_at    BIGINT NOT NULL, -- run date of the first warning
    noticed_run  BIGINT NOT NULL, -- run date of the latest warning, so that the run skips it
    created_at   BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL,
    revoked_for  TEXT NOT NULL,
    UNIQUE (tenant_id, purpose, generation)
);
-- The certificates that still need a successor, by expiry, for runs.
CREATE INDEX certificates_due ON certificates (not_after, id) WHERE successor_id = '' AND state = 'active';
CREATE INDEX certificates_with_old_keys ON certificates (not_after) WHERE sealed_key IS NOT NULL AND successor_id <> '';
CREATE INDEX certificates_revoked ON certificates (issuer_id) WHERE state = 'revoked';

CREATE TABLE runs (
    run_date    BIGINT PRIMARY KEY,
    policy      TEXT NOT NULL,
    started_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL,
    warned      BIGINT NOT NULL,
    renewed     BIGINT NOT NULL,
    late        BIGINT NOT NULL, -- renewed after their expiry
    failed      BIGINT NOT NULL, -- in the last try
    last_error  TEXT NOT NULL
);

-- Thousands of notices, tasks and mails are written in one transaction with their certificates, which are never deleted.
-- References would be checked for every row and could never fail.
CREATE TABLE notices (
    id             TEXT PRIMARY KEY,
    tenant_id      TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    successor_id   TEXT NOT NULL,
    kind           TEXT NOT NULL,
    subject        TEXT NOT NULL,
    run_date       BIGINT NOT NULL,
    due_at         BIGINT NOT NULL,
    reason         TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    -- A certificate has one notice per run, and one successor.
    UNIQUE (certificate_id, run_date)
) /*sqlite WITHOUT ROWID */;

CREATE TABLE tasks (
    id           TEXT NOT NULL,
    tenant_id    TEXT NOT NULL,
    key_user_id  TEXT NOT NULL,
    notice_id    TEXT NOT NULL,
    state        TEXT NOT NULL,
    note         TEXT NOT NULL,
    completed_at BIGINT NOT NULL,
    version      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id) -- a notice is unique and written with its tasks, so there is one task per key user and notice
) /*sqlite WITHOUT ROWID */;

CREATE TABLE mails (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL,
    notice_id   TEXT NOT NULL,
    key_user_id TEXT NOT NULL, -- '' for IT contacts. Not a reference, because mails outlive the key user
    name        TEXT NOT NULL,
    address     TEXT NOT NULL,
    designated  BIGINT NOT NULL,
    message_id  TEXT NOT NULL,
    state       TEXT NOT NULL,
    attempts    BIGINT NOT NULL,
    last_error  TEXT NOT NULL,
    sent_at     BIGINT NOT NULL
) /*sqlite WITHOUT ROWID */;
CREATE INDEX mails_by_tenant ON mails (tenant_id, id);
CREATE INDEX mails_unsent ON mails (state, id) WHERE state <> 'sent';

CREATE TABLE scoping_projects (
    id         TEXT PRIMARY KEY,
    tenant_id  TEXT NOT NULL REFERENCES tenants (id),
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE scoping_answers (
    project_id  TEXT NOT NULL REFERENCES scoping_projects (id) ON DELETE CASCADE,
    question    TEXT NOT NULL,
    yes         BIGINT NOT NULL,
    answered_by TEXT NOT NULL,
    answered_at BIGINT NOT NULL,
    PRIMARY KEY (project_id, question)
);

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    tenant_id    TEXT NOT NULL,
    key_user_id  TEXT NOT NULL,
    hash         TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, in hexadecimal
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    revoked_at   BIGINT NOT NULL
);

CREATE TABLE idempotency_keys (
    token_id     TEXT NOT NULL,
    name         TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status       BIGINT NOT NULL, -- 0 until the first request is answered
    header       TEXT NOT NULL,
    body         BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    PRIMARY KEY (token_id, name)
);

-- The audit log. event_head holds its last entry, and is locked while entries are added.
CREATE TABLE events (
    seq    BIGINT PRIMARY KEY,
    at     BIGINT NOT NULL,
    actor  TEXT NOT NULL,
    action TEXT NOT NULL,
    tenant TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    prev   BYTEA NOT NULL,
    hash   BYTEA NOT NULL
);
CREATE INDEX events_by_tenant ON events (tenant, seq);

CREATE TABLE event_head (
    id   BIGINT PRIMARY KEY,
    seq  BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
INSERT INTO event_head (id, seq, hash) VALUES (1, 0, '');

-- +goose Down
DROP TABLE event_head;
DROP TABLE events;
DROP TABLE idempotency_keys;
DROP TABLE tokens;
DROP TABLE scoping_answers;
DROP TABLE scoping_projects;
DROP TABLE mails;
DROP TABLE tasks;
DROP TABLE notices;
DROP TABLE runs;
DROP TABLE certificates;
DROP TABLE authorities;
DROP TABLE arrangements;
DROP TABLE receivers;
DROP TABLE it_contacts;
DROP TABLE key_users;
DROP TABLE tenants;
DROP TABLE settings;
