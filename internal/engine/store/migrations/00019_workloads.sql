-- A token can be bound to a workload, whose identity tokens are used instead of a secret.
-- compatible from: 12

-- +goose Up
ALTER TABLE tokens ADD COLUMN issuer TEXT NOT NULL DEFAULT ''; -- of the workload's identity tokens
ALTER TABLE tokens ADD COLUMN subject TEXT NOT NULL DEFAULT ''; -- of the workload; '' for a token with a secret

-- +goose Down
DELETE FROM tokens WHERE subject <> '';
ALTER TABLE tokens DROP COLUMN issuer;
ALTER TABLE tokens DROP COLUMN subject;
