-- As in SQLite's migration 0011.
ALTER TABLE tokens ADD COLUMN subject TEXT COLLATE "C";

CREATE UNIQUE INDEX tokens_by_subject ON tokens (subject) WHERE subject IS NOT NULL;
