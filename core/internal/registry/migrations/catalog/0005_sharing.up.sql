-- Shares and links of buckets. A linked bucket is a schema with a view for each
-- table of its source, which the host alone writes; it lives while its handle is
-- among the shares of the source.
CREATE TABLE __storage.shares (
    bucket  VARCHAR NOT NULL,
    handle  VARCHAR NOT NULL, -- <project>.<secret>
    created TIMESTAMP NOT NULL
);
CREATE TABLE __storage.links (
    bucket         VARCHAR NOT NULL, -- in this catalog
    handle         VARCHAR NOT NULL, -- with which it was made
    source_project VARCHAR NOT NULL,
    source_bucket  VARCHAR NOT NULL,
    source_catalog VARCHAR NOT NULL, -- alias under which it is attached; this catalog's own for a link within a project
    created        TIMESTAMP NOT NULL
);
-- Buckets that read-only keys and workspaces may not read.
CREATE TABLE __storage.revoked (
    bucket VARCHAR NOT NULL
);
-- A bucket that SQL made gets its row with its first description, and nobody knows
-- when it was created.
ALTER TABLE __storage.buckets ALTER COLUMN created DROP NOT NULL;
