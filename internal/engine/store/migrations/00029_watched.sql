-- Certificates that belong to others are watched until their owners renew them.
-- compatible from: 12

-- +goose Up
CREATE TABLE watched (
    id            TEXT PRIMARY KEY,
    tenant_id     TEXT NOT NULL REFERENCES tenants (id),
    name          TEXT NOT NULL,
    owner         TEXT NOT NULL, -- for display; '' if not known
    policy        TEXT NOT NULL, -- the owner's, as a policy file; '' if only the window is known
    expected_in   TEXT NOT NULL, -- the window before the expiry, such as 93d; '' if there is a policy
    source        TEXT NOT NULL, -- JSON
    systems       TEXT NOT NULL, -- JSON
    noticed       TEXT NOT NULL, -- the latest notice about the newest certificate; '' for none
    due_at        BIGINT NOT NULL, -- of the next look or notice
    looked_at     BIGINT NOT NULL, -- 0 if there was no look
    failing_since BIGINT NOT NULL, -- 0 if the latest look succeeded
    look_error    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX watched_by_due ON watched (due_at);

CREATE TABLE watched_certificates (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL,
    watched_id  TEXT NOT NULL REFERENCES watched (id),
    position    BIGINT NOT NULL, -- 1, 2, 3 ... in the order in which they were seen
    fingerprint TEXT NOT NULL,
    der         BYTEA NOT NULL,
    chain       BYTEA NOT NULL, -- DER, joined; the CAs above it, as far as they were seen
    not_before  BIGINT NOT NULL,
    not_after   BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL,
    seen_by     TEXT NOT NULL,
    surprises   TEXT NOT NULL, -- JSON
    adopted     BIGINT NOT NULL, -- 1 if it counts as the watched certificate
    UNIQUE (watched_id, position),
    UNIQUE (watched_id, fingerprint)
);

-- Links for the administrators of systems that know a watched certificate. Each is for one certificate.
CREATE TABLE watched_links (
    id             TEXT PRIMARY KEY,
    tenant_id      TEXT NOT NULL,
    watched_id     TEXT NOT NULL REFERENCES watched (id),
    certificate_id TEXT NOT NULL REFERENCES watched_certificates (id),
    system_name    TEXT NOT NULL,
    hash           TEXT NOT NULL UNIQUE, -- SHA-256 of the secret
    created_by     TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    revoked_at     BIGINT NOT NULL, -- 0 unless revoked
    used_at        BIGINT NOT NULL -- when the installation was last reported; 0 if it was not
);
CREATE INDEX watched_links_by_watched ON watched_links (watched_id, id);
CREATE INDEX watched_links_by_certificate ON watched_links (certificate_id);

-- +goose Down
DROP TABLE watched_links;
DROP TABLE watched_certificates;
DROP TABLE watched;
