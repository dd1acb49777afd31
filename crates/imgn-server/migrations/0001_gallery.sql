-- Times are milliseconds since 1970 in UTC, identifiers hyphenated UUIDs, checksums 32 bytes.

-- Who may write. A revoked token has no hash; its row stays, because what it uploaded belongs to it.
CREATE TABLE tokens (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,
    role        TEXT NOT NULL CHECK (role IN ('uploader', 'admin')),
    hash        BLOB UNIQUE CHECK (length(hash) = 32),
    created_at  INTEGER NOT NULL
) STRICT;

-- What is public. `sequence` is the picture's place in the change feed: newest first is by it, so that neither a
-- clock that is set back nor two pictures of one millisecond can make a page skip or repeat one.
CREATE TABLE images (
    id            TEXT PRIMARY KEY,
    sequence      INTEGER NOT NULL UNIQUE,
    owner         INTEGER NOT NULL REFERENCES tokens (id),
    file_name     TEXT NOT NULL,
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    content_type  TEXT NOT NULL,
    size          INTEGER NOT NULL,
    sha256        BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    thumbhash     BLOB NOT NULL,
    animated      INTEGER NOT NULL CHECK (animated IN (0, 1)),
    taken_at      INTEGER,
    created_at    INTEGER NOT NULL,
    camera        TEXT,
    -- File name and camera in lower case, a line each: what a search looks through.
    search        TEXT NOT NULL
) STRICT;

-- From its opening to its end. `image_id` is made when the upload opens: every key in the store derives from it, so
-- that any step can be repeated. `published_image` is another picture's where that one had the same bytes.
CREATE TABLE uploads (
    id                 TEXT PRIMARY KEY,
    owner              INTEGER NOT NULL REFERENCES tokens (id),
    image_id           TEXT NOT NULL UNIQUE,
    file_name          TEXT NOT NULL,
    size               INTEGER NOT NULL CHECK (size > 0),
    sha256             BLOB NOT NULL CHECK (length(sha256) = 32),
    content_type       TEXT,
    state              TEXT NOT NULL
                       CHECK (state IN ('open', 'verifying', 'published', 'rejected', 'aborted')),
    published_image    TEXT REFERENCES images (id),
    rejection_code     TEXT,
    rejection_message  TEXT,
    -- When the last URL that can write the object expires; NULL while none was signed.
    url_expires_at     INTEGER,
    -- When the sweeper looks whether the object is there though nobody said so; NULL for never.
    look_at            INTEGER,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    CHECK ((state = 'published') = (published_image IS NOT NULL)),
    CHECK ((state = 'rejected') = (rejection_code IS NOT NULL)),
    CHECK ((rejection_code IS NULL) = (rejection_message IS NULL))
) STRICT;

CREATE INDEX uploads_by_state ON uploads (state, updated_at);
CREATE INDEX uploads_by_published_image ON uploads (published_image) WHERE published_image IS NOT NULL;
CREATE INDEX uploads_to_look_at ON uploads (look_at) WHERE look_at IS NOT NULL;

-- Additions and deletions in order. The addition of a picture that was deleted is taken out; its tombstone stays.
CREATE TABLE changes (
    sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL CHECK (kind IN ('added', 'deleted')),
    image_id  TEXT NOT NULL
) STRICT;

CREATE INDEX changes_by_image ON changes (image_id);

-- The outbox of keys to delete. While a URL that can write a key is alive, or a request that began under it, the key
-- is visited again.
CREATE TABLE garbage (
    key             TEXT PRIMARY KEY,
    url_expires_at  INTEGER,
    due_at          INTEGER NOT NULL,
    failures        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX garbage_by_due ON garbage (due_at);
