-- As in SQLite's migration 0010.
ALTER TABLE tokens
    ADD COLUMN expires_at BIGINT,
    ADD COLUMN scopes TEXT NOT NULL DEFAULT 'upload,delete',
    ADD COLUMN last_used_on BIGINT;
