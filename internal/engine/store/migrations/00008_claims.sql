-- Replicas coordinate in tables of their own. Until now they used settings.
--
-- The rows in settings stay, and claims are written there too: during a rolling upgrade, replicas of the previous release
-- read and write them.

-- +goose Up
-- Work that only one replica may do, once. Reminders and questions are deleted when their subject cannot occur again; the
-- other kinds are few and stay.
CREATE TABLE claims (
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
) /*sqlite WITHOUT ROWID */;
CREATE INDEX claims_by_age ON claims (kind, at);

INSERT INTO claims (kind, subject, at)
SELECT kind, subject, /*sqlite CAST(strftime('%s', claimed) AS BIGINT) */ /*postgres CAST(extract(epoch FROM CAST(claimed AS timestamptz)) AS BIGINT) */ * 1000000
FROM (
    SELECT 'first token' AS kind, '' AS subject, value AS claimed FROM settings WHERE name = 'first_token'
    UNION ALL
    SELECT 'authority signs', SUBSTR(name, 7), value FROM settings WHERE name LIKE 'signs/%'
    UNION ALL
    SELECT 'reminder', SUBSTR(name, 10), value FROM settings WHERE name LIKE 'reminded/%'
    UNION ALL
    SELECT 'trust questions', SUBSTR(name, 17), value FROM settings WHERE name LIKE 'authority-asked/%'
) AS old;

-- The progress of the announcement of an authority.
CREATE TABLE announcements (
    authority_id TEXT PRIMARY KEY,
    told_to      TEXT NOT NULL -- the last tenant that was notified, by ID; '~' when all were
);
INSERT INTO announcements (authority_id, told_to)
SELECT SUBSTR(name, 11), value FROM settings WHERE name LIKE 'announced/%';

-- +goose Down
DROP TABLE announcements;
DROP TABLE claims;
