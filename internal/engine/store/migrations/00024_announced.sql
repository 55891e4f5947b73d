-- Key users are notified of a change of a credential's issuer or key type.
-- compatible from: 12

-- +goose Up
ALTER TABLE credentials ADD COLUMN announced_at BIGINT NOT NULL DEFAULT 0; -- 0 if nothing was announced

-- +goose Down
ALTER TABLE credentials DROP COLUMN announced_at;
