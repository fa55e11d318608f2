-- Jobs: commands that run in the background. Times are UTC. Ids are ULIDs, so their
-- order is the order in which the jobs came.
CREATE TABLE jobs (
    id         VARCHAR NOT NULL,
    project    VARCHAR NOT NULL, -- empty for a command of the service as a whole
    branch     VARCHAR NOT NULL,
    command    VARCHAR NOT NULL,
    subject    VARCHAR NOT NULL, -- name of the key that asked
    request_id VARCHAR NOT NULL,
    run_id     VARCHAR NOT NULL,
    state      VARCHAR NOT NULL, -- waiting, processing, success, error, cancelled
    queued     TIMESTAMP NOT NULL,
    started    TIMESTAMP,
    ended      TIMESTAMP,        -- NULL for a job that is not done
    progress   DOUBLE,           -- of a job that is done; from 0 to 1, NULL when unknown
    message    VARCHAR NOT NULL, -- what the command last said of its progress
    result     VARCHAR,          -- JSON answer
    error      VARCHAR,          -- JSON problem
    long       BOOLEAN NOT NULL  -- both are in a file
);
