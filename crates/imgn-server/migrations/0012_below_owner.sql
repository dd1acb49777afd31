-- What is sent at once lies below a prefix of its owner's. What an earlier server signed a URL for does not, and may still come.
ALTER TABLE staged ADD COLUMN below_owner INTEGER NOT NULL DEFAULT 0 CHECK (below_owner IN (0, 1));
