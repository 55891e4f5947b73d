-- Operators find tenants, arrangements, receivers, people and certificates by what they have in hand: a part of a name, an
-- address, a serial number or a fingerprint.
-- compatible from: 12

-- +goose Up
-- The words of a tenant's display name, in lower case.
CREATE TABLE tenant_words (
    word      TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    PRIMARY KEY (word, tenant_id)
) /*sqlite WITHOUT ROWID */;
CREATE INDEX tenant_words_by_tenant ON tenant_words (tenant_id);
CREATE INDEX arrangements_by_name ON arrangements (name, id);
CREATE INDEX receivers_by_name ON receivers (name, id);
CREATE INDEX receivers_by_title ON receivers (lower(display_name), id);
CREATE INDEX receivers_by_contact ON receivers (lower(contact_email), id);
CREATE INDEX key_users_by_email ON key_users (lower(email), id);
CREATE INDEX it_contacts_by_email ON it_contacts (lower(email), id);
CREATE INDEX certificates_by_serial ON certificates (serial);
CREATE INDEX certificates_by_fingerprint ON certificates (fingerprint);

-- +goose Down
DROP INDEX certificates_by_fingerprint;
DROP INDEX certificates_by_serial;
DROP INDEX it_contacts_by_email;
DROP INDEX key_users_by_email;
DROP INDEX receivers_by_contact;
DROP INDEX receivers_by_title;
DROP INDEX receivers_by_name;
DROP INDEX arrangements_by_name;
DROP TABLE tenant_words;
