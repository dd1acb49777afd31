-- Who takes a key from the outbox, or puts it there again, makes another revision of it: a deletion that ends after that is
-- not taken for the end of what came later.
ALTER TABLE garbage ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

-- How many pictures there are: counting them reads all.
ALTER TABLE feed ADD COLUMN images INTEGER NOT NULL DEFAULT 0;
UPDATE feed SET images = (SELECT count(*) FROM images);
