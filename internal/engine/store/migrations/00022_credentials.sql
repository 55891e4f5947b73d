-- Tenants can have further lines of certificates, and a CA may answer a request later.
-- compatible from: 12

-- +goose Up
-- A credential with settings of its own. The built-in ones, tenant and m-user, have a row only if they differ from the
-- installation's settings.
CREATE TABLE credentials (
    tenant_id  TEXT NOT NULL REFERENCES tenants (id),
    name       TEXT NOT NULL, -- is the purpose of its certificates
    issuer     TEXT NOT NULL, -- name of a configured issuer; '' for the default one
    key_type   TEXT NOT NULL, -- '' for the tenant's
    subject    TEXT NOT NULL, -- RFC 4514; '' for the form of the issuer
    san        TEXT NOT NULL, -- comma-separated, as OpenSSL prints it; '' for the form of the issuer
    validity   BIGINT NOT NULL, -- microseconds; 0 for that of the policy
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) /*sqlite WITHOUT ROWID */;

-- A certificate that was requested and is not issued yet. Its ID becomes that of the certificate.
CREATE TABLE requests (
    id         TEXT PRIMARY KEY,
    tenant_id  TEXT NOT NULL REFERENCES tenants (id),
    purpose    TEXT NOT NULL,
    generation BIGINT NOT NULL,
    issuer     TEXT NOT NULL, -- as in credentials
    key_type   TEXT NOT NULL,
    sealed_key BYTEA NOT NULL,
    handle     TEXT NOT NULL, -- identifies the request at the CA; '' while the CA may not have got it
    ask_at     BIGINT NOT NULL, -- when the CA is asked for the answer
    last_error TEXT NOT NULL,
    actor      TEXT NOT NULL, -- of the renewal
    reason     TEXT NOT NULL,
    run_date   BIGINT NOT NULL, -- 0 for a renewal by hand
    created_at BIGINT NOT NULL,
    UNIQUE (tenant_id, purpose, generation)
);
CREATE INDEX requests_by_ask ON requests (ask_at);

ALTER TABLE arrangements ADD COLUMN credential TEXT NOT NULL DEFAULT 'tenant';
ALTER TABLE certificates ADD COLUMN issuer TEXT NOT NULL DEFAULT ''; -- name of the configured issuer; '' for the default one

DROP INDEX certificates_rolling;
DROP INDEX certificates_in_reach;
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose <> 'm-user' AND successor_id <> '' AND state <> 'retired';
CREATE INDEX certificates_in_reach ON certificates (tenant_id, generation) WHERE purpose <> 'm-user' AND state <> 'retired';

-- +goose Down
DROP INDEX certificates_in_reach;
DROP INDEX certificates_rolling;
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose = 'tenant' AND successor_id <> '' AND state <> 'retired';
CREATE INDEX certificates_in_reach ON certificates (tenant_id, generation) WHERE purpose = 'tenant' AND state <> 'retired';
ALTER TABLE certificates DROP COLUMN issuer;
ALTER TABLE arrangements DROP COLUMN credential;
DROP TABLE requests;
DROP TABLE credentials;
