-- A table that SQL made gets its row with its first import, and nobody knows when
-- it was created.
ALTER TABLE __storage.tables ALTER COLUMN created DROP NOT NULL;
