-- Who signs in elsewhere owns pictures as the owner of a token does: a row without a hash, found by the issuer and its name
-- for them.
ALTER TABLE tokens ADD COLUMN subject TEXT;

CREATE UNIQUE INDEX tokens_by_subject ON tokens (subject) WHERE subject IS NOT NULL;
