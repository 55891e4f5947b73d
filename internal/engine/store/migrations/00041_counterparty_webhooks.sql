-- A counterparty can have webhooks. Their tenant_id is the ID of the counterparty, because names are unique for an owner.
-- compatible from: 12

-- +goose Up
ALTER TABLE webhooks ADD COLUMN counterparty_id TEXT NOT NULL DEFAULT ''; -- '' for those of the installation and of tenants
ALTER TABLE webhooks ADD COLUMN counterparty TEXT NOT NULL DEFAULT ''; -- its name

-- +goose Down
ALTER TABLE webhooks DROP COLUMN counterparty;
ALTER TABLE webhooks DROP COLUMN counterparty_id;
