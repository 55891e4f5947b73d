-- The tenants whose newest certificate was revoked, and not replaced yet, are found without reading all certificates.
-- compatible from: 12

-- +goose Up
CREATE INDEX certificates_stopped ON certificates (tenant_id) WHERE purpose <> 'm-user' AND successor_id = '' AND state = 'revoked';

-- +goose Down
DROP INDEX certificates_stopped;
