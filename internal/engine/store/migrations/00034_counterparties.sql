-- The organisations behind receivers, with their people, and the hosts by which they are found.
-- compatible from: 12

-- +goose Up
CREATE TABLE counterparties (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    product      TEXT NOT NULL, -- that its receivers run; '' if not known
    hash         TEXT NOT NULL, -- SHA-256 of the secret of its page, in hexadecimal; '' if it has no page
    linked_by    TEXT NOT NULL,
    linked_at    BIGINT NOT NULL, -- creation of the present address of the page; 0 if it has no page
    visited_at   BIGINT NOT NULL, -- last visit of the page; 0 if there was none
    created_at   BIGINT NOT NULL,
    version      BIGINT NOT NULL
);
CREATE INDEX counterparties_by_hash ON counterparties (hash) WHERE hash <> '';

CREATE TABLE counterparty_hosts (
    host            TEXT PRIMARY KEY, -- in lower case; with a dot in front for every host below it
    counterparty_id TEXT NOT NULL REFERENCES counterparties (id) ON DELETE CASCADE
) /*sqlite WITHOUT ROWID */;
CREATE INDEX counterparty_hosts_by_counterparty ON counterparty_hosts (counterparty_id);

CREATE TABLE counterparty_contacts (
    id              TEXT PRIMARY KEY,
    counterparty_id TEXT NOT NULL REFERENCES counterparties (id) ON DELETE CASCADE,
    position        BIGINT NOT NULL, -- 1 is asked first
    name            TEXT NOT NULL,
    email           TEXT NOT NULL,
    language        TEXT NOT NULL, -- '' for that of the browser
    zone            TEXT NOT NULL, -- '' for UTC
    proposed_by     TEXT NOT NULL, -- '' unless the page proposed the contact and no operator has accepted it
    confirmed_at    BIGINT NOT NULL, -- when the data were confirmed on the page; 0 if they were not
    created_at      BIGINT NOT NULL,
    UNIQUE (counterparty_id, email)
);

-- Addresses of the page for one contact each. They end with the address of the page.
CREATE TABLE counterparty_links (
    hash            TEXT PRIMARY KEY, -- SHA-256 of the secret, in hexadecimal
    counterparty_id TEXT NOT NULL REFERENCES counterparties (id) ON DELETE CASCADE,
    contact_id      TEXT NOT NULL REFERENCES counterparty_contacts (id) ON DELETE CASCADE,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL
) /*sqlite WITHOUT ROWID */;
CREATE INDEX counterparty_links_by_contact ON counterparty_links (contact_id, created_at);
CREATE INDEX counterparty_links_by_counterparty ON counterparty_links (counterparty_id);

-- Hosts that several tenants name, or that belong to a counterparty, with receivers that are not linked.
CREATE TABLE counterparty_proposals (
    host            TEXT PRIMARY KEY,
    state           TEXT NOT NULL, -- open, accepted, dismissed
    counterparty_id TEXT NOT NULL, -- '' if the host belongs to none
    decided_by      TEXT NOT NULL,
    decided_at      BIGINT NOT NULL -- 0 while it was never decided
) /*sqlite WITHOUT ROWID */;
CREATE INDEX counterparty_proposals_open ON counterparty_proposals (host) WHERE state = 'open';

-- Tests that the page of a counterparty asked for. There is one row for each arrangement: the latest test.
CREATE TABLE counterparty_questions (
    arrangement_id  TEXT PRIMARY KEY REFERENCES arrangements (id) ON DELETE CASCADE,
    counterparty_id TEXT NOT NULL,
    generation      BIGINT NOT NULL, -- the one that the page showed
    claimed         BIGINT NOT NULL, -- 1 if it was reported as installed
    wanted_at       BIGINT NOT NULL,
    taken_until     BIGINT NOT NULL, -- a replica asks until then; 0 if none does
    done_at         BIGINT NOT NULL, -- 0 until the receiver was asked
    result          TEXT NOT NULL, -- accepted, refused, unclear; '' if it could not be asked
    answer          TEXT NOT NULL
) /*sqlite WITHOUT ROWID */;
CREATE INDEX counterparty_questions_waiting ON counterparty_questions (counterparty_id, wanted_at) WHERE done_at = 0;

ALTER TABLE receivers ADD COLUMN counterparty_id TEXT NOT NULL DEFAULT ''; -- '' if it is linked to none
CREATE INDEX receivers_by_counterparty ON receivers (counterparty_id, tenant_id) WHERE counterparty_id <> '';
CREATE INDEX arrangements_by_receiver ON arrangements (receiver_id);

-- The host of the endpoint in lower case. It is computed by the database, because programs of earlier schemas write
-- endpoints too. An IPv6 address is cut off at its first colon, and belongs to no counterparty.
/*sqlite ALTER TABLE arrangements ADD COLUMN host TEXT GENERATED ALWAYS AS (lower(substr(
    replace(substr(endpoint, instr(endpoint, '://') + 3), '/', ':'), 1,
    instr(replace(substr(endpoint, instr(endpoint, '://') + 3), '/', ':') || ':', ':') - 1))) VIRTUAL; */
/*postgres ALTER TABLE arrangements ADD COLUMN host TEXT GENERATED ALWAYS AS (
    lower(substring(endpoint from '^[A-Za-z]+://([^/:]*)'))) STORED; */
CREATE INDEX arrangements_by_host ON arrangements (host, tenant_id);

INSERT INTO counterparty_proposals (host, state, counterparty_id, decided_by, decided_at)
SELECT host, 'open', '', '', 0 FROM arrangements
WHERE host LIKE '%.%' AND /*sqlite host GLOB '*[a-z]*' */ /*postgres host ~ '[a-z]' */
GROUP BY host HAVING min(tenant_id) <> max(tenant_id);

-- +goose Down
DROP INDEX arrangements_by_host;
ALTER TABLE arrangements DROP COLUMN host;
DROP INDEX arrangements_by_receiver;
DROP INDEX receivers_by_counterparty;
ALTER TABLE receivers DROP COLUMN counterparty_id;
DROP TABLE counterparty_questions;
DROP TABLE counterparty_proposals;
DROP TABLE counterparty_links;
DROP TABLE counterparty_contacts;
DROP TABLE counterparty_hosts;
DROP TABLE counterparties;
