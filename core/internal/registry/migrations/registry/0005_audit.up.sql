-- The audit: each write that was asked for. Times are UTC. Ids are ULIDs in the order of
-- the commits, and so are the times while the clock is right: what is old, or on a page,
-- lies together, and there is no index that would have to be rebuilt at every start.
CREATE TABLE audit (
    id          VARCHAR NOT NULL,
    time        TIMESTAMP NOT NULL, -- when the outcome was known
    subject     VARCHAR NOT NULL,   -- name of the key; plugin:<name> for what a plugin did by itself
    key         VARCHAR NOT NULL,   -- id of the key; empty when it has none
    project     VARCHAR NOT NULL,   -- empty for the service as a whole
    branch      VARCHAR NOT NULL,
    command     VARCHAR NOT NULL,
    method      VARCHAR NOT NULL,   -- empty for what no request was, as path and remote
    path        VARCHAR NOT NULL,   -- percent-encoded, without the query
    input       VARCHAR NOT NULL,   -- JSON, or its beginning; empty when it is not known or may hold a secret
    input_cut   BOOLEAN NOT NULL,   -- only the beginning is kept
    outcome     VARCHAR NOT NULL,   -- ok, accepted, failed, denied, aborted
    status      INTEGER NOT NULL,   -- of HTTP; 0 when there was none
    problem     VARCHAR NOT NULL,   -- slug, or empty
    request_id  VARCHAR NOT NULL,
    run_id      VARCHAR NOT NULL,
    job_id      VARCHAR NOT NULL,
    repeated    BOOLEAN NOT NULL,   -- answered as an earlier request was; nothing ran
    duration_us BIGINT NOT NULL,
    remote      VARCHAR NOT NULL    -- address and port of the client
);
