-- The message log in narrower rows with one index. PostgreSQL keeps each day in a partition, which is dropped whole. The
-- table messages has the entries from before, and those that a replica of the release before still writes. They are
-- read too, until they are past their retention time.
-- compatible from: 12

-- +goose Up
CREATE TABLE message_log (
    arrangement_id TEXT NOT NULL,
    id             TEXT NOT NULL,
    at             BIGINT NOT NULL,
    micros         BIGINT NOT NULL, -- the mean of the messages that the entry stands for
    status         INTEGER NOT NULL, -- 0 if there was no answer
    generation     INTEGER NOT NULL, -- the last one tried
    attempts       INTEGER NOT NULL,
    count          INTEGER NOT NULL, -- number of messages that the entry stands for
    method         TEXT NOT NULL,
    path           TEXT NOT NULL, -- without the query
    outcome        TEXT NOT NULL, -- '', or the failure
    PRIMARY KEY (arrangement_id, id, at)
) /*sqlite WITHOUT ROWID */ /*postgres PARTITION BY RANGE (at) */;
CREATE INDEX message_log_failed ON message_log (at) WHERE status = 0 OR status >= 400; -- for the number of arrangements that fail
/*sqlite CREATE INDEX message_log_by_age ON message_log (at); */
/*postgres CREATE TABLE message_log_other PARTITION OF message_log DEFAULT; */ -- entries of days without a partition

-- +goose Down
DROP TABLE message_log;
