-- Whether the store had the part when it was last noted: to show how far an upload is before the store is asked.
ALTER TABLE parts ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
