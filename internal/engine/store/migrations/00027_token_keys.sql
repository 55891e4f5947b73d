-- The private keys of tenants can be in a PKCS#11 token.
-- compatible from: 12

-- +goose Up
ALTER TABLE certificates ADD COLUMN key_uri TEXT NOT NULL DEFAULT ''; -- then there is no sealed key; '' for others
ALTER TABLE requests ADD COLUMN key_uri TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN public_key TEXT NOT NULL DEFAULT ''; -- of a key in a token (PKIX, base64)

-- The keys in tokens that neither a certificate nor a request has. A key is here before it is made, and again after its
-- certificate is retired, so that none is forgotten.
CREATE TABLE token_keys (
    uri        TEXT PRIMARY KEY,
    due_at     BIGINT NOT NULL, -- when it is to be destroyed, or when that is tried again
    doomed     BIGINT NOT NULL, -- 1 if no certificate may use it any more
    last_error TEXT NOT NULL
) /*sqlite WITHOUT ROWID */;
CREATE INDEX token_keys_by_due ON token_keys (due_at);

-- +goose Down
DROP TABLE token_keys;
ALTER TABLE requests DROP COLUMN public_key;
ALTER TABLE requests DROP COLUMN key_uri;
ALTER TABLE certificates DROP COLUMN key_uri;
