-- Accounts of the console.

-- +goose Up
CREATE TABLE accounts (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE, -- for signing in
    role          TEXT NOT NULL,        -- operator, key-user
    tenant_id     TEXT NOT NULL,
    key_user_id   TEXT NOT NULL,
    password      TEXT NOT NULL,        -- argon2id in PHC form
    token_id      TEXT NOT NULL UNIQUE, -- the token of the invitation, which creates one account
    zone          TEXT NOT NULL,        -- IANA name; '' for UTC
    failures      BIGINT NOT NULL,      -- wrong passwords since the last correct one
    locked_until  BIGINT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL UNIQUE, -- SHA-256 of the secret, in hexadecimal
    agent      TEXT NOT NULL,        -- the browser's User-Agent
    address    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account_id);

-- +goose Down
DROP TABLE sessions;
DROP TABLE accounts;
