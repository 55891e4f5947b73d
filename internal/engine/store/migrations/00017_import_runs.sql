-- An import lists the runs that renew its certificates first.
-- compatible from: 12

-- +goose Up
ALTER TABLE imports ADD COLUMN runs TEXT NOT NULL DEFAULT '[]'; -- JSON: when, and how many certificates

-- +goose Down
ALTER TABLE imports DROP COLUMN runs;
