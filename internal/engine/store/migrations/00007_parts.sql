-- A run over many certificates is done in parts, by any replica. Rate limits apply to all replicas together.

-- +goose Up
-- A part is a range of the certificates by expiry and ID, after the first position and up to the last. It is deleted when it is
-- done.
CREATE TABLE run_parts (
    run_date        BIGINT NOT NULL REFERENCES runs (run_date),
    part            BIGINT NOT NULL,
    after_not_after BIGINT NOT NULL,
    after_id        TEXT NOT NULL,
    until_not_after BIGINT NOT NULL,
    until_id        TEXT NOT NULL,
    begins_at       BIGINT NOT NULL, -- later than the run date if the policy spreads the work
    claimed_until   BIGINT NOT NULL, -- the end of a worker's claim
    PRIMARY KEY (run_date, part)
);

CREATE TABLE limits (
    name    TEXT PRIMARY KEY,
    free_at BIGINT NOT NULL -- when all reservations are used up
);

-- +goose Down
DROP TABLE limits;
DROP TABLE run_parts;
