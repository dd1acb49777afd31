-- As in SQLite's migration 0012.
ALTER TABLE staged ADD COLUMN below_owner BOOLEAN NOT NULL DEFAULT false;
