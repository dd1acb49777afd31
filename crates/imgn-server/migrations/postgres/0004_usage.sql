-- As in SQLite's migration 0009.
CREATE TABLE usage (
    who       TEXT COLLATE "C" NOT NULL,
    day       BIGINT NOT NULL,
    pictures  BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    PRIMARY KEY (who, day)
);

ALTER TABLE uploads ADD COLUMN origin TEXT COLLATE "C";
ALTER TABLE staged ADD COLUMN origin TEXT COLLATE "C";

CREATE FUNCTION forget_origin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.origin = NULL;
    RETURN NEW;
END
$$;

CREATE TRIGGER forget_origin BEFORE UPDATE OF state ON uploads FOR EACH ROW
WHEN (NEW.origin IS NOT NULL AND NEW.state <> 'open') EXECUTE FUNCTION forget_origin();

CREATE INDEX uploads_open_by_owner ON uploads (owner) WHERE state = 'open';
CREATE INDEX uploads_open_by_origin ON uploads (origin) WHERE state = 'open' AND origin IS NOT NULL;
CREATE INDEX staged_by_origin ON staged (origin) WHERE origin IS NOT NULL;
