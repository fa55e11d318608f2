-- First answers to requests with an Idempotency-Key, for the repeats of a day.
CREATE TABLE answers (
    key         VARCHAR NOT NULL, -- SHA-256 of who asked and the key, hex
    fingerprint VARCHAR NOT NULL, -- SHA-256 of what was asked for, hex
    sealed      BLOB,             -- status, head and body, for the holder of the API key; NULL when they lie in answers/<key>
    created     TIMESTAMP NOT NULL
);
