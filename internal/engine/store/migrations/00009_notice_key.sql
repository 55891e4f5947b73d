-- The uniqueness of a notice has a column of its own. Until now it was the run date, and a notice without a run stored its
-- instant there, as a negative number.

-- +goose Up
-- The key names the cause of the notice: 'run/' with the run date, 'renewed', 'unready/' with the stage, 'authority/' with its
-- ID. It is '' in a notice that a replica of the previous release writes during a rolling upgrade.
/*postgres ALTER TABLE notices ADD COLUMN dedup_key TEXT NOT NULL DEFAULT ''; */
/*postgres ALTER TABLE notices DROP CONSTRAINT notices_certificate_id_run_date_key; */
/*sqlite ALTER TABLE notices RENAME TO notices_before; */
/*sqlite CREATE TABLE notices (
    id             TEXT PRIMARY KEY,
    tenant_id      TEXT NOT NULL,
    certificate_id TEXT NOT NULL,
    successor_id   TEXT NOT NULL,
    kind           TEXT NOT NULL,
    subject        TEXT NOT NULL,
    run_date       BIGINT NOT NULL, -- 0 if no run caused it
    due_at         BIGINT NOT NULL,
    reason         TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    dedup_key      TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID; */
/*sqlite INSERT INTO notices SELECT id, tenant_id, certificate_id, successor_id, kind, subject, run_date, due_at, reason, created_at, ''
FROM notices_before; */
/*sqlite DROP TABLE notices_before; */
UPDATE notices SET
    dedup_key = CASE WHEN run_date > 0 THEN 'run/' || CAST(run_date AS TEXT) ELSE 'at/' || CAST(-run_date AS TEXT) END,
    run_date = CASE WHEN run_date > 0 THEN run_date ELSE 0 END;
-- The key of a notice without one follows from its run date, so that a replica of either release conflicts with the other.
CREATE UNIQUE INDEX notices_once ON notices (certificate_id, (CASE WHEN dedup_key <> '' THEN dedup_key
    WHEN run_date > 0 THEN 'run/' || CAST(run_date AS TEXT) ELSE 'at/' || CAST(-run_date AS TEXT) END));

-- +goose Down
DROP INDEX notices_once;
UPDATE notices SET run_date = -created_at WHERE run_date = 0;
ALTER TABLE notices DROP COLUMN dedup_key;
/*postgres ALTER TABLE notices ADD CONSTRAINT notices_certificate_id_run_date_key UNIQUE (certificate_id, run_date); */
