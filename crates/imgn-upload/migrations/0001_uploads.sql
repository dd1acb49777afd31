-- One row an upload, from before its first byte until its owner clears it.
CREATE TABLE uploads (
    id           TEXT    NOT NULL PRIMARY KEY, -- UUIDv7: sorts by the time of queueing
    server       TEXT    NOT NULL,             -- which gallery it goes to; never resumed on another
    path         BLOB    NOT NULL,             -- the file, as the system writes its path
    file_name    TEXT    NOT NULL,
    content_type TEXT,
    state        TEXT    NOT NULL,             -- JSON of the machine's state; holds no presigned URL
    ended        INTEGER NOT NULL,             -- 1 when nothing more happens by itself
    owner        TEXT,                         -- the running program that drives it, if any
    updated_at   INTEGER NOT NULL              -- milliseconds since 1970
) STRICT;

CREATE INDEX uploads_by_server ON uploads (server, ended);
