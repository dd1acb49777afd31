-- The catalogue as SQLite has it after its migrations to 0007; what the columns mean is said there. Text is compared byte by
-- byte, as there.

CREATE TABLE tokens (
    id          BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name        TEXT COLLATE "C" NOT NULL UNIQUE,
    role        TEXT NOT NULL CHECK (role IN ('uploader', 'admin')),
    hash        BYTEA UNIQUE CHECK (length(hash) = 32),
    created_at  BIGINT NOT NULL
);

CREATE TABLE images (
    id            TEXT COLLATE "C" PRIMARY KEY,
    sequence      BIGINT NOT NULL UNIQUE,
    owner         BIGINT NOT NULL REFERENCES tokens (id),
    file_name     TEXT NOT NULL,
    width         BIGINT NOT NULL,
    height        BIGINT NOT NULL,
    content_type  TEXT NOT NULL,
    size          BIGINT NOT NULL,
    sha256        BYTEA NOT NULL UNIQUE CHECK (length(sha256) = 32),
    thumbhash     BYTEA NOT NULL,
    animated      BOOLEAN NOT NULL,
    taken_at      BIGINT,
    created_at    BIGINT NOT NULL,
    camera        TEXT,
    lens          TEXT,
    exposure      TEXT,
    location      TEXT,
    search        TEXT NOT NULL
);

CREATE INDEX images_timeline ON images (sequence) INCLUDE (created_at, width, height);

CREATE TABLE uploads (
    id                  TEXT COLLATE "C" PRIMARY KEY,
    owner               BIGINT NOT NULL REFERENCES tokens (id),
    image_id            TEXT COLLATE "C" NOT NULL UNIQUE,
    file_name           TEXT NOT NULL,
    size                BIGINT NOT NULL CHECK (size > 0),
    sha256              BYTEA NOT NULL CHECK (length(sha256) = 32),
    content_type        TEXT,
    state               TEXT NOT NULL
                        CHECK (state IN ('open', 'verifying', 'published', 'rejected', 'aborted')),
    published_image     TEXT COLLATE "C" REFERENCES images (id),
    rejection_code      TEXT,
    rejection_message   TEXT,
    url_expires_at      BIGINT,
    look_at             BIGINT,
    created_at          BIGINT NOT NULL,
    updated_at          BIGINT NOT NULL,
    part_size           BIGINT CHECK (part_size > 0),
    part_count          BIGINT CHECK (part_count BETWEEN 1 AND 10000),
    checksum_algorithm  TEXT CHECK (checksum_algorithm IN ('sha256', 'crc64_nvme', 'crc32c')),
    remembers_sums      BOOLEAN,
    multipart_id        TEXT,
    attempts            BIGINT NOT NULL DEFAULT 0,
    CHECK ((state = 'published') = (published_image IS NOT NULL)),
    CHECK ((state = 'rejected') = (rejection_code IS NOT NULL)),
    CHECK ((rejection_code IS NULL) = (rejection_message IS NULL))
);

CREATE INDEX uploads_by_state ON uploads (state, updated_at);
CREATE INDEX uploads_by_published_image ON uploads (published_image) WHERE published_image IS NOT NULL;
CREATE INDEX uploads_to_look_at ON uploads (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX uploads_by_multipart_id ON uploads (multipart_id) WHERE multipart_id IS NOT NULL;

CREATE TABLE signed_parts (
    upload_id  TEXT COLLATE "C" NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    checksum   BYTEA NOT NULL,
    PRIMARY KEY (upload_id, number, checksum)
);

CREATE FUNCTION forget_signed_parts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM signed_parts WHERE upload_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER forget_signed_parts AFTER UPDATE OF state, multipart_id ON uploads FOR EACH ROW
WHEN (NEW.state IN ('published', 'rejected', 'aborted') OR NEW.multipart_id IS DISTINCT FROM OLD.multipart_id)
EXECUTE FUNCTION forget_signed_parts();

CREATE TABLE changes (
    sequence  BIGINT PRIMARY KEY,
    kind      TEXT NOT NULL CHECK (kind IN ('added', 'deleted')),
    image_id  TEXT COLLATE "C" NOT NULL
);

CREATE INDEX changes_by_image ON changes (image_id);

-- `last` is the place of the newest entry. Whoever adds one holds this row until the commit, so entries become visible in
-- their order, and one that is undone leaves no hole.
CREATE TABLE feed (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    id    TEXT NOT NULL,
    last  BIGINT NOT NULL DEFAULT 0
);

INSERT INTO feed (one, id) VALUES (1, replace(gen_random_uuid()::text, '-', ''));

CREATE TABLE garbage (
    key             TEXT COLLATE "C" PRIMARY KEY,
    url_expires_at  BIGINT,
    due_at          BIGINT NOT NULL,
    failures        BIGINT NOT NULL DEFAULT 0,
    multipart_id    TEXT
);

CREATE INDEX garbage_by_due ON garbage (due_at);

CREATE TABLE staged (
    id              TEXT COLLATE "C" PRIMARY KEY,
    owner           BIGINT NOT NULL REFERENCES tokens (id),
    image_id        TEXT COLLATE "C" NOT NULL UNIQUE,
    file_name       TEXT NOT NULL,
    in_parts        BOOLEAN NOT NULL,
    multipart_id    TEXT,
    url_expires_at  BIGINT NOT NULL,
    look_at         BIGINT,
    created_at      BIGINT NOT NULL
);

CREATE INDEX staged_to_look_at ON staged (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX staged_by_multipart_id ON staged (multipart_id) WHERE multipart_id IS NOT NULL;
CREATE INDEX staged_by_owner ON staged (owner);
