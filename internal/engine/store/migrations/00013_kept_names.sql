-- The names of imported certificates that later generations keep: two tenants must not have the same.
-- compatible from: 12

-- +goose Up
CREATE TABLE kept_names (
    name      TEXT NOT NULL, -- kind and value, folded: 'subject:CN=acme,O=example', 'cn:acme'
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (name, tenant_id)
);
CREATE INDEX kept_names_tenant ON kept_names (tenant_id);
ALTER TABLE imports ADD COLUMN planned TEXT NOT NULL DEFAULT '[]'; -- JSON: what it will do, per tenant
ALTER TABLE imports ADD COLUMN changing BIGINT NOT NULL DEFAULT 0; -- certificates whose first renewal changes their names or CA

-- +goose Down
ALTER TABLE imports DROP COLUMN changing;
ALTER TABLE imports DROP COLUMN planned;
DROP TABLE kept_names;
