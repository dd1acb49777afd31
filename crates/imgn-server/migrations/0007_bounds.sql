-- How much of an owner is expected is asked with each upload that nobody announced.
CREATE INDEX staged_by_owner ON staged (owner);

-- How often a decoder had all the time that the server's surroundings give, and did not come to its end.
ALTER TABLE uploads ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
