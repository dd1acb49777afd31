-- A search finds words anywhere in what it looks through. Where the database does not have or allow the extension, it reads
-- every row.
DO $$
BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX images_search ON images USING gin (search gin_trgm_ops);
EXCEPTION
    WHEN insufficient_privilege OR undefined_file OR undefined_object OR feature_not_supported THEN
        RAISE WARNING 'searches will be slow: there is no pg_trgm (%)', SQLERRM;
END
$$;
