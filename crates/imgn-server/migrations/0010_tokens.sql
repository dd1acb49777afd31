-- When a token ends by itself, what it may be used for (names with commas between them), and the last day (UTC, counted
-- from 1970) on which somebody used it.
ALTER TABLE tokens ADD COLUMN expires_at INTEGER;
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT 'upload,delete';
ALTER TABLE tokens ADD COLUMN last_used_on INTEGER;
