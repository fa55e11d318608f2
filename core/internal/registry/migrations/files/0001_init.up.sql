-- Storage files. Bytes are below files/project_<id>/, at path.
CREATE SEQUENCE file_ids;
CREATE TABLE files (
    id           BIGINT NOT NULL,
    project      VARCHAR NOT NULL,
    name         VARCHAR NOT NULL,
    content_type VARCHAR NOT NULL,
    tags         VARCHAR NOT NULL, -- JSON array of texts
    permanent    BOOLEAN NOT NULL,
    created      TIMESTAMP NOT NULL,
    expires      TIMESTAMP,        -- NULL for a permanent file
    size_bytes   BIGINT NOT NULL,
    sha256       VARCHAR NOT NULL, -- hex, empty until the bytes are there
    state        VARCHAR NOT NULL, -- writing, prepared, uploaded, replacing, registering, registered, deleting
    path         VARCHAR NOT NULL
);
