-- One gallery's list on this computer. Everything but `deletions` and what is `asked` for can be had again from the
-- server, so a file of another version is thrown away and made anew.

CREATE TABLE state (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    feed        TEXT,                       -- which feed this follows; NULL before the first page
    position    INTEGER NOT NULL DEFAULT 0, -- the last entry of it that is applied
    known       INTEGER NOT NULL DEFAULT 0, -- pictures in the timeline
    total       INTEGER,                    -- pictures that the server had when the first fill began
    filled      INTEGER NOT NULL DEFAULT 0, -- whether the first fill came to the feed's end
    checked_at  INTEGER,                    -- when this was last what the server has: milliseconds since 1970
    keep_all    INTEGER NOT NULL DEFAULT 0  -- whether all originals are asked for
) STRICT;
INSERT INTO state (one) VALUES (1);

CREATE TABLE images (
    sequence      INTEGER PRIMARY KEY,
    id            BLOB NOT NULL UNIQUE,
    file_name     TEXT NOT NULL,
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    content_type  TEXT NOT NULL,
    size          INTEGER NOT NULL,
    sha256        BLOB NOT NULL,
    thumbhash     TEXT NOT NULL,
    animated      INTEGER NOT NULL,
    taken_at      INTEGER,                  -- milliseconds since 1970, as all times
    created_at    INTEGER NOT NULL,
    camera        TEXT,
    lens          TEXT,
    exposure      TEXT,                     -- as in the API, in JSON; so is the next
    location      TEXT,
    owner         TEXT NOT NULL,
    url           TEXT,                     -- NULL where it follows from the gallery's address and the id
    display_url   TEXT                      -- NULL: none; empty: follows likewise
) STRICT;

-- The timeline, see the module `columns`. A picture whose deletion is queued is not in it.
CREATE TABLE columns (
    chunk    INTEGER PRIMARY KEY,
    entries  BLOB NOT NULL
) STRICT;

-- What words find, see the module `postings`: a chunk of the timeline's words that begin with the same byte.
CREATE TABLE words (
    shelf     INTEGER PRIMARY KEY,          -- the byte times 2 to the power of 20, and the chunk
    postings  BLOB NOT NULL
) STRICT;

-- Deletions that wait for the server.
CREATE TABLE deletions (
    id  BLOB PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Originals that are to be on this computer, and those that are.
CREATE TABLE originals (
    id     BLOB PRIMARY KEY,
    asked  INTEGER NOT NULL,                -- by itself, not as one of all
    here   INTEGER NOT NULL DEFAULT 0,      -- checked against its SHA-256 and on the disk
    size   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
