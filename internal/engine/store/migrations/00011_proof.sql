-- Claims are kept apart from proof, contradictions are remembered, and so is what a receiver's answers taught.

-- +goose Up
ALTER TABLE evidence ADD COLUMN claimed_at BIGINT NOT NULL DEFAULT 0; -- the latest evidence that is weaker than the verdict
ALTER TABLE evidence ADD COLUMN claimed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE evidence ADD COLUMN latest TEXT NOT NULL DEFAULT ''; -- what the latest message proved
ALTER TABLE evidence ADD COLUMN turned_at BIGINT NOT NULL DEFAULT 0; -- when two messages last contradicted each other
ALTER TABLE evidence ADD COLUMN kinds TEXT NOT NULL DEFAULT ''; -- kinds of answers to an accepted generation, one per line
ALTER TABLE arrangements ADD COLUMN learned TEXT NOT NULL DEFAULT '{}';
-- What a person reported counted as proof until now.
UPDATE evidence SET claimed_at = verdict_at, claimed_by = source, verdict = '', verdict_at = 0, source = ''
WHERE source = 'person' AND verdict = 'accepted';
UPDATE evidence SET latest = verdict WHERE source = 'traffic';

-- +goose Down
UPDATE evidence SET verdict = 'accepted', verdict_at = claimed_at, source = claimed_by
WHERE claimed_by = 'person' AND verdict IN ('', 'unclear');
UPDATE evidence SET verdict = '', verdict_at = 0, source = '' WHERE verdict = 'unclear';
ALTER TABLE arrangements DROP COLUMN learned;
ALTER TABLE evidence DROP COLUMN kinds;
ALTER TABLE evidence DROP COLUMN turned_at;
ALTER TABLE evidence DROP COLUMN latest;
ALTER TABLE evidence DROP COLUMN claimed_by;
ALTER TABLE evidence DROP COLUMN claimed_at;
