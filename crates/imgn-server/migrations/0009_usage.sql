-- What somebody began on a day (UTC, counted from 1970), for the quotas. `who` is `user:` with the owner, or `address:`
-- with where an upload without a token came from. The sweeper forgets days that are over.
CREATE TABLE usage (
    who       TEXT NOT NULL,
    day       INTEGER NOT NULL,
    pictures  INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    PRIMARY KEY (who, day)
) STRICT, WITHOUT ROWID;

-- Where an upload without a token comes from, for as long as it is open and no longer.
ALTER TABLE uploads ADD COLUMN origin TEXT;
ALTER TABLE staged ADD COLUMN origin TEXT;

CREATE TRIGGER forget_origin AFTER UPDATE OF state ON uploads
WHEN NEW.origin IS NOT NULL AND NEW.state <> 'open'
BEGIN
    UPDATE uploads SET origin = NULL WHERE id = NEW.id;
END;

-- How many are open is asked with each upload.
CREATE INDEX uploads_open_by_owner ON uploads (owner) WHERE state = 'open';
CREATE INDEX uploads_open_by_origin ON uploads (origin) WHERE state = 'open' AND origin IS NOT NULL;
CREATE INDEX staged_by_origin ON staged (origin) WHERE origin IS NOT NULL;
