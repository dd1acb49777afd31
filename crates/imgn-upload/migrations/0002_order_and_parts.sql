-- What queueing in thousands, reordering and resuming in parts need.
ALTER TABLE uploads ADD COLUMN position INTEGER NOT NULL DEFAULT 0; -- order of the queue; equal ones go by id
ALTER TABLE uploads ADD COLUMN size INTEGER;                        -- bytes of the file when it was queued
-- 1 when the place where the picture was taken is sent too; older rows were summed with it.
ALTER TABLE uploads ADD COLUMN keep_location INTEGER NOT NULL DEFAULT 1;

-- Sums of parts, spared from being made again. They are of the bytes that `session` was opened for.
CREATE TABLE parts (
    upload   TEXT    NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    session  TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    checksum TEXT    NOT NULL,
    PRIMARY KEY (upload, session, number)
) STRICT, WITHOUT ROWID;
