-- The administrators of receivers are mailed, if their tenant allows it, and their links outlive a generation.
-- compatible from: 12

-- +goose Up
ALTER TABLE tenants ADD COLUMN mails_administrators BIGINT NOT NULL DEFAULT 0; -- 1 if the tenant allows it
ALTER TABLE receivers ADD COLUMN contact_language TEXT NOT NULL DEFAULT '';    -- '' for that of the installation
ALTER TABLE receivers ADD COLUMN contact_zone TEXT NOT NULL DEFAULT '';        -- IANA name; '' for UTC
ALTER TABLE links ADD COLUMN address TEXT NOT NULL DEFAULT '';    -- that it is mailed to, in lower case; '' if a person passes it on
ALTER TABLE links ADD COLUMN opened_at BIGINT NOT NULL DEFAULT 0; -- latest opening of the page, to the hour; 0 if there was none
ALTER TABLE links ADD COLUMN tested_at BIGINT NOT NULL DEFAULT 0; -- latest test on the page; 0 if there was none
ALTER TABLE mails ADD COLUMN administrator_id TEXT NOT NULL DEFAULT ''; -- '' unless it is to the administrator of receivers
CREATE INDEX mails_by_administrator ON mails (administrator_id, id) WHERE administrator_id <> '';

-- Everyone who is mailed as the administrator of receivers, by tenant or by counterparty. The other one is ''.
CREATE TABLE administrators (
    id              TEXT PRIMARY KEY,
    tenant_id       TEXT NOT NULL,
    counterparty_id TEXT NOT NULL,
    address         TEXT NOT NULL, -- in lower case
    created_at      BIGINT NOT NULL,
    stopped_at      BIGINT NOT NULL, -- no mail is sent from then on; 0 while mails are sent
    stopped_for     TEXT NOT NULL,   -- asked, passed-on, bounced; '' while mails are sent
    UNIQUE (tenant_id, counterparty_id, address)
) /*sqlite WITHOUT ROWID */;

-- What a counterparty is not mailed about yet. Its mails gather the news of all tenants.
CREATE TABLE counterparty_news (
    counterparty_id TEXT NOT NULL REFERENCES counterparties (id) ON DELETE CASCADE,
    kind            TEXT NOT NULL,
    certificate_id  TEXT NOT NULL, -- that is replaced
    stage           BIGINT NOT NULL, -- of a reminder, in days; 0 for another kind
    tenant_id       TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    told_at         BIGINT NOT NULL, -- when the mail was written; 0 before
    PRIMARY KEY (counterparty_id, kind, certificate_id, stage)
) /*sqlite WITHOUT ROWID */;
CREATE INDEX counterparty_news_waiting ON counterparty_news (counterparty_id, kind, created_at) WHERE told_at = 0;
CREATE INDEX counterparty_news_by_tenant ON counterparty_news (tenant_id, counterparty_id, kind, told_at);

-- +goose Down
DROP TABLE counterparty_news;
DROP TABLE administrators;
DROP INDEX mails_by_administrator;
ALTER TABLE mails DROP COLUMN administrator_id;
ALTER TABLE links DROP COLUMN tested_at;
ALTER TABLE links DROP COLUMN opened_at;
ALTER TABLE links DROP COLUMN address;
ALTER TABLE receivers DROP COLUMN contact_zone;
ALTER TABLE receivers DROP COLUMN contact_language;
ALTER TABLE tenants DROP COLUMN mails_administrators;
