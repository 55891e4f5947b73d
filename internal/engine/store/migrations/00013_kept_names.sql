-- The names of imported certificates that later generations keep: two tenants must not have the same.
-- compatible from: 12

-- +goose Up
CREATE TABLE kept_names (
    name      TEXT PRIMARY KEY, -- kind and value, folded: 'subject:cn=acme,o=example'
    tenant_id TEXT NOT NULL
);
CREATE INDEX kept_names_tenant ON kept_names (tenant_id);
INSERT INTO kept_names (name, tenant_id)
SELECT 'subject:' || LOWER(subject), MIN(tenant_id) FROM certificates
WHERE generation = 1 AND subject <> '' AND issuer_id NOT IN (SELECT id FROM authorities) GROUP BY LOWER(subject);
ALTER TABLE imports ADD COLUMN planned TEXT NOT NULL DEFAULT '[]'; -- JSON: what it will do, per tenant
ALTER TABLE imports ADD COLUMN changing BIGINT NOT NULL DEFAULT 0; -- certificates whose first renewal changes their names or CA

-- +goose Down
ALTER TABLE imports DROP COLUMN changing;
ALTER TABLE imports DROP COLUMN planned;
DROP TABLE kept_names;
