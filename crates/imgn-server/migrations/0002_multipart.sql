-- How an upload in parts is sent: all of it is fixed when it opens. NULL in an upload that is sent by one PUT.
ALTER TABLE uploads ADD COLUMN part_size INTEGER CHECK (part_size > 0);
ALTER TABLE uploads ADD COLUMN part_count INTEGER CHECK (part_count BETWEEN 1 AND 10000);
ALTER TABLE uploads ADD COLUMN checksum_algorithm TEXT
    CHECK (checksum_algorithm IN ('sha256', 'crc64_nvme', 'crc32c'));
-- Whether the store forgets the checksums that it checked, so that `signed_parts` has to know them.
ALTER TABLE uploads ADD COLUMN remembers_sums INTEGER CHECK (remembers_sums IN (0, 1));
-- The store's own name for it. Written after the store made it; what a crash in between leaves behind is found by
-- the sweeper among what the store lists.
ALTER TABLE uploads ADD COLUMN multipart_id TEXT;

CREATE INDEX uploads_by_multipart_id ON uploads (multipart_id) WHERE multipart_id IS NOT NULL;

-- The checksums that were signed for each part. The store takes no other bytes; so where a part has one row here, that
-- is the checksum of what the store has.
CREATE TABLE signed_parts (
    upload_id  TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    checksum   BLOB NOT NULL,
    PRIMARY KEY (upload_id, number, checksum)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER forget_signed_parts AFTER UPDATE OF state, multipart_id ON uploads
WHEN NEW.state IN ('published', 'rejected', 'aborted') OR NEW.multipart_id IS NOT OLD.multipart_id
BEGIN
    DELETE FROM signed_parts WHERE upload_id = NEW.id;
END;

-- The multipart that is aborted together with its key.
ALTER TABLE garbage ADD COLUMN multipart_id TEXT;
