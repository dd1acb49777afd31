-- Which feed this is: a client that mirrors the gallery begins anew when it meets another.
CREATE TABLE feed (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    id   TEXT NOT NULL
) STRICT;

INSERT INTO feed (one, id) VALUES (1, lower(hex(randomblob(16))));

-- All that a timeline tells, so that it reads no row.
CREATE INDEX images_timeline ON images (sequence, created_at, width, height);

-- What a search looks through: file name, camera, owner, and the days when the picture was taken and published, as
-- 2026-11-26 and with the month's name.
CREATE TEMPORARY TABLE months (number TEXT, name TEXT);
INSERT INTO months VALUES
    ('01', 'january'), ('02', 'february'), ('03', 'march'), ('04', 'april'), ('05', 'may'), ('06', 'june'),
    ('07', 'july'), ('08', 'august'), ('09', 'september'), ('10', 'october'), ('11', 'november'), ('12', 'december');
UPDATE images SET search = search
    || char(10) || (SELECT lower(name) FROM tokens WHERE tokens.id = images.owner)
    || coalesce(char(10) || strftime('%Y-%m-%d ', taken_at / 1000, 'unixepoch')
        || (SELECT name FROM months WHERE number = strftime('%m', taken_at / 1000, 'unixepoch')), '')
    || char(10) || strftime('%Y-%m-%d ', created_at / 1000, 'unixepoch')
    || (SELECT name FROM months WHERE number = strftime('%m', created_at / 1000, 'unixepoch'));
DROP TABLE months;
