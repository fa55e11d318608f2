-- Which requests with an Idempotency-Key were committed, so that a repeat does not
-- run them again although their answer was lost. Rows are removed after a day.
CREATE TABLE __storage.committed (
    key         VARCHAR NOT NULL, -- SHA-256 of who asked and the key, hex
    fingerprint VARCHAR NOT NULL, -- SHA-256 of what was asked for, hex
    request_id  VARCHAR NOT NULL,
    committed   TIMESTAMP NOT NULL,
    answer      BLOB              -- statement that makes the answer, for the holder of the API key; NULL when only the handler knew it
);
