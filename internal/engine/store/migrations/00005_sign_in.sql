-- Ways to sign in without a password, and preferences of accounts.

-- +goose Up
ALTER TABLE accounts RENAME COLUMN token_id TO origin; -- what created the account, once: "token ID" or "oidc ISSUER SUBJECT"
UPDATE accounts SET origin = 'token ' || origin;
ALTER TABLE accounts ADD COLUMN language TEXT NOT NULL DEFAULT '';      -- of the console; '' for the browser's
ALTER TABLE accounts ADD COLUMN calendar_hash TEXT NOT NULL DEFAULT ''; -- SHA-256 of the calendar's secret; '' for none
CREATE UNIQUE INDEX accounts_by_calendar ON accounts (calendar_hash) WHERE calendar_hash <> '';

CREATE TABLE passkeys (
    id         TEXT PRIMARY KEY, -- the credential's, in base64url
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    credential TEXT NOT NULL, -- JSON: public key, counter, flags
    created_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE INDEX passkeys_by_account ON passkeys (account_id);

-- Challenges between the two halves of a ceremony (WebAuthn, OpenID Connect): each is redeemed once.
CREATE TABLE ceremonies (
    hash       TEXT PRIMARY KEY, -- SHA-256 of the secret in the browser's cookie
    kind       TEXT NOT NULL,
    data       TEXT NOT NULL, -- JSON
    expires_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE ceremonies;
DROP TABLE passkeys;
DROP INDEX accounts_by_calendar;
ALTER TABLE accounts DROP COLUMN calendar_hash;
ALTER TABLE accounts DROP COLUMN language;
UPDATE accounts SET origin = SUBSTR(origin, 7) WHERE origin LIKE 'token %';
ALTER TABLE accounts RENAME COLUMN origin TO token_id;
