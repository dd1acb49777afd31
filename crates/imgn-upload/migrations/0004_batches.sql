-- Which act took an upload in, and whose that was (`person` or `program`): what is told of its uploads is told together,
-- also after a restart. Rows of before have none.
ALTER TABLE uploads ADD COLUMN batch  TEXT;
ALTER TABLE uploads ADD COLUMN origin TEXT;
