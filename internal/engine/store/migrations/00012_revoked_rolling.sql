-- A revoked generation that has not expired is part of an open roll-over: its receivers may not know the new one yet.

-- +goose Up
DROP INDEX certificates_rolling;
DROP INDEX certificates_in_reach;
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose = 'tenant' AND successor_id <> '' AND state <> 'retired';
CREATE INDEX certificates_in_reach ON certificates (tenant_id, generation) WHERE purpose = 'tenant' AND state <> 'retired';

-- +goose Down
DROP INDEX certificates_in_reach;
DROP INDEX certificates_rolling;
CREATE INDEX certificates_in_reach ON certificates (tenant_id, generation) WHERE purpose = 'tenant' AND state IN ('standby', 'active');
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose = 'tenant' AND successor_id <> '' AND state IN ('standby', 'active');
