-- Mails are in the language and the time zone of their reader, and address key users by their full names.
-- compatible from: 12

-- +goose Up
ALTER TABLE key_users ADD COLUMN display_name TEXT NOT NULL DEFAULT ''; -- '' for the name
ALTER TABLE key_users ADD COLUMN language TEXT NOT NULL DEFAULT '';     -- '' for that of the account or the installation
ALTER TABLE key_users ADD COLUMN zone TEXT NOT NULL DEFAULT '';         -- IANA name; '' for that of the account, or UTC
ALTER TABLE it_contacts ADD COLUMN language TEXT NOT NULL DEFAULT '';   -- '' for that of the installation
ALTER TABLE it_contacts ADD COLUMN zone TEXT NOT NULL DEFAULT '';       -- IANA name; '' for UTC

-- For the preferences of the accounts of key users.
CREATE INDEX accounts_by_tenant ON accounts (tenant_id) WHERE key_user_id <> '';

-- +goose Down
DROP INDEX accounts_by_tenant;
ALTER TABLE it_contacts DROP COLUMN zone;
ALTER TABLE it_contacts DROP COLUMN language;
ALTER TABLE key_users DROP COLUMN zone;
ALTER TABLE key_users DROP COLUMN language;
ALTER TABLE key_users DROP COLUMN display_name;
