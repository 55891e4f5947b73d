-- Rounds of tests: receivers at risk of many tenants that an operator has tested with one action.
-- compatible from: 12

-- +goose Up
CREATE TABLE test_rounds (
    id          TEXT PRIMARY KEY,
    choice      TEXT NOT NULL, -- JSON
    created_by  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    finished_at BIGINT NOT NULL -- 0 until every test has a result
);

CREATE TABLE test_items (
    round_id       TEXT NOT NULL REFERENCES test_rounds (id) ON DELETE CASCADE,
    arrangement_id TEXT NOT NULL REFERENCES arrangements (id) ON DELETE CASCADE,
    host           TEXT NOT NULL,
    generation     BIGINT NOT NULL,
    taken_until    BIGINT NOT NULL, -- a replica asks until then; 0 if none does
    done_at        BIGINT NOT NULL, -- 0 until there is a result
    result         TEXT NOT NULL, -- accepted, refused, unclear, skipped; '' until then
    detail         TEXT NOT NULL, -- the answer, or the reason of a test that was skipped
    PRIMARY KEY (round_id, arrangement_id)
) /*sqlite WITHOUT ROWID */;
CREATE INDEX test_items_waiting ON test_items (round_id, arrangement_id) WHERE done_at = 0;
CREATE INDEX test_items_by_arrangement ON test_items (arrangement_id, done_at);

-- +goose Down
DROP TABLE test_items;
DROP TABLE test_rounds;
