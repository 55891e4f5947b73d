-- A roll-over is also open if the old generation was replaced before it was ever presented. Until now such a generation
-- stayed in standby for good.

-- +goose Up
DROP INDEX certificates_rolling;
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose = 'tenant' AND successor_id <> '' AND state IN ('standby', 'active');

-- +goose Down
DROP INDEX certificates_rolling;
CREATE INDEX certificates_rolling ON certificates (tenant_id) WHERE purpose = 'tenant' AND successor_id <> '' AND state = 'active';
