-- Metadata of one project's branch, beside the data it describes, so that both
-- commit together. DuckDB's own catalog is the truth about which schemas,
-- tables and columns exist; a row here that describes none of them has no effect.
CREATE TABLE __storage.buckets (
    name        VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    created     TIMESTAMP NOT NULL
);
CREATE TABLE __storage.tables (
    bucket      VARCHAR NOT NULL,
    name        VARCHAR NOT NULL,
    primary_key VARCHAR[] NOT NULL,
    is_typed    BOOLEAN NOT NULL,
    created     TIMESTAMP NOT NULL,
    last_import TIMESTAMP
);
-- Lengths that DuckDB does not keep: VARCHAR(20) is VARCHAR to it.
CREATE TABLE __storage.column_lengths (
    bucket     VARCHAR NOT NULL,
    table_name VARCHAR NOT NULL,
    name       VARCHAR NOT NULL,
    length     INTEGER NOT NULL
);
