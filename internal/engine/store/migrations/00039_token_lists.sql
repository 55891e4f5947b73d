-- Indexes for the orders of the list of tokens.
-- compatible from: 12

-- +goose Up
CREATE INDEX tokens_by_name ON tokens (lower(name), id);
CREATE INDEX tokens_by_expiry ON tokens (expires_at, id);
CREATE INDEX tokens_by_tenant ON tokens (tenant_id) WHERE tenant_id <> '';

-- +goose Down
DROP INDEX tokens_by_tenant;
DROP INDEX tokens_by_expiry;
DROP INDEX tokens_by_name;
