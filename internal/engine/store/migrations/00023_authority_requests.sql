-- The issuing CA may be below a root whose key is elsewhere.
-- compatible from: 12

-- +goose Up
-- The certificates (DER, joined) between an issuing CA and its root. A root whose key is elsewhere has no sealed key.
ALTER TABLE authorities ADD COLUMN above BYTEA NOT NULL DEFAULT '';

-- An issuing CA whose key exists and whose certificate a root elsewhere has to sign. Its ID becomes that of the authority.
CREATE TABLE authority_requests (
    id         TEXT PRIMARY KEY,
    position   BIGINT NOT NULL UNIQUE, -- that the authority had next when it was requested
    csr        BYTEA NOT NULL, -- PKCS#10, DER
    sealed_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

-- +goose Down
DROP TABLE authority_requests;
ALTER TABLE authorities DROP COLUMN above;
