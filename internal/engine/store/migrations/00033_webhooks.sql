-- Webhooks send events to endpoints of the installation and of tenants.
-- compatible from: 12

-- +goose Up
CREATE TABLE webhooks (
    id            TEXT PRIMARY KEY,
    tenant_id     TEXT NOT NULL, -- '' for the installation
    tenant        TEXT NOT NULL, -- its name, by which events name it; '' for the installation
    name          TEXT NOT NULL,
    format        TEXT NOT NULL,
    host          TEXT NOT NULL, -- of the endpoint, for display
    types         TEXT NOT NULL, -- JSON; the types of events, [] for all
    template      TEXT NOT NULL, -- '' for the default one
    enabled       BIGINT NOT NULL,
    sealed        BYTEA NOT NULL, -- URL, secrets and other credentials, as JSON
    created_by    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    failures      BIGINT NOT NULL, -- requests in a row that failed
    failing_since BIGINT NOT NULL, -- 0 if the latest request succeeded
    retry_at      BIGINT NOT NULL, -- no request is sent before
    last_error    TEXT NOT NULL,
    delivered_at  BIGINT NOT NULL, -- 0 if no request has succeeded
    dropped       BIGINT NOT NULL, -- events that found the queue full
    job_at        BIGINT NOT NULL, -- of the job that delivers new events; 0 for none
    later_at      BIGINT NOT NULL, -- of the job that tries again; 0 for none
    claimed_until BIGINT NOT NULL, -- the worker that delivers has it until then; 0 for none
    version       BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX webhooks_by_tenant ON webhooks (tenant);

CREATE TABLE webhook_deliveries (
    id         TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id),
    tenant_id  TEXT NOT NULL, -- of the webhook
    event_id   TEXT NOT NULL,
    type       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    payload    BYTEA NOT NULL, -- the event as JSON
    state      TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    status     BIGINT NOT NULL, -- of the latest answer; 0 for none
    last_error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    queued_at  BIGINT NOT NULL, -- of the event, or of the latest replay
    ended_at   BIGINT NOT NULL -- 0 while it is queued
);
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id, state, next_at);
CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (state, queued_at);
CREATE INDEX webhook_deliveries_by_end ON webhook_deliveries (state, ended_at);

-- +goose Down
DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
