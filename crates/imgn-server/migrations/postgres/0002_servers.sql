-- As in SQLite's migration 0008.
ALTER TABLE garbage ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE feed ADD COLUMN images BIGINT NOT NULL DEFAULT 0;
UPDATE feed SET images = (SELECT count(*) FROM images);

-- Which server verifies an upload, and until when the others leave it alone.
ALTER TABLE uploads ADD COLUMN verifier TEXT, ADD COLUMN verifier_until TIMESTAMPTZ;

-- Servers that listen learn of every addition to the feed when it is committed.
CREATE FUNCTION tell_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('imgn_changes', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER tell_changed AFTER INSERT ON changes FOR EACH STATEMENT EXECUTE FUNCTION tell_changed();
