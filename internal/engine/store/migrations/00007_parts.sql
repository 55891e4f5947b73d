-- A run over many certificates is done in parts, by any replica; and what all replicas together may do in a second.

-- +goose Up
-- A part is a range of the certificates by expiry and ID, beginning after the first position and ending with the last. It is
-- deleted when it is done.
CREATE TABLE run_parts (
    run_date        BIGINT NOT NULL REFERENCES runs (run_date),
    part            BIGINT NOT NULL,
    after_not_after BIGINT NOT NULL,
    after_id        TEXT NOT NULL,
    until_not_after BIGINT NOT NULL,
    until_id        TEXT NOT NULL,
    begins_at       BIGINT NOT NULL, -- later than the run date where the policy spreads the work
    claimed_until   BIGINT NOT NULL, -- somebody works on it until then
    PRIMARY KEY (run_date, part)
);

CREATE TABLE limits (
    name    TEXT PRIMARY KEY,
    free_at BIGINT NOT NULL -- when all that was reserved is used up
);

-- +goose Down
DROP TABLE limits;
DROP TABLE run_parts;
