-- Projects and keys. Ids are unique because writes come one at a time; there is
-- no index, which DuckDB would have to rebuild at every start.
CREATE TABLE projects (
    id                  VARCHAR NOT NULL,
    name                VARCHAR NOT NULL,
    data_retention_days INTEGER NOT NULL,
    timezone            VARCHAR NOT NULL,
    settings            VARCHAR NOT NULL, -- JSON object
    state               VARCHAR NOT NULL, -- creating, active, dropping
    created             TIMESTAMP NOT NULL
);
CREATE TABLE keys (
    hash    VARCHAR NOT NULL, -- SHA-256 of the secret, hex
    subject VARCHAR NOT NULL, -- how the key is called in logs
    project VARCHAR,          -- NULL for the admin key
    created TIMESTAMP NOT NULL
);
