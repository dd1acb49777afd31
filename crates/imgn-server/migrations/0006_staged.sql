-- What other people's clients are about to send: neither its size nor its checksum is known before it is there. Once it
-- is, it becomes an upload of the same id, and this row goes in the transaction that makes it one.
CREATE TABLE staged (
    id              TEXT PRIMARY KEY,
    owner           INTEGER NOT NULL REFERENCES tokens (id),
    image_id        TEXT NOT NULL UNIQUE,
    file_name       TEXT NOT NULL,
    -- Parts are put together under the picture's own key, where nothing can change them any more. What is sent at once
    -- lies under a key of its own, for its URL can be used again until it expires.
    in_parts        INTEGER NOT NULL CHECK (in_parts IN (0, 1)),
    -- The store's name of the parts; NULL while it has none.
    multipart_id    TEXT,
    -- When the last URL expires that can write the object or a part.
    url_expires_at  INTEGER NOT NULL,
    -- When to look whether it is there; NULL for parts that nobody has asked to put together.
    look_at         INTEGER,
    created_at      INTEGER NOT NULL
) STRICT;

CREATE INDEX staged_to_look_at ON staged (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX staged_by_multipart_id ON staged (multipart_id) WHERE multipart_id IS NOT NULL;
