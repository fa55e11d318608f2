-- Events of committed transactions that a plugin has yet to hear of: one row for
-- each event and subscriber, so that nobody waits for another one's deliveries. A
-- row is removed once it is delivered, or kept with its error when it was given up.
CREATE SEQUENCE __storage.outbox_order;
CREATE TABLE __storage.outbox (
    seq        BIGINT NOT NULL,    -- in the order of commits
    event_id   VARCHAR NOT NULL,   -- the same for every subscriber
    event      VARCHAR NOT NULL,
    subscriber VARCHAR NOT NULL,   -- name of the plugin
    payload    VARCHAR NOT NULL,   -- JSON
    request_id VARCHAR NOT NULL,
    run_id     VARCHAR NOT NULL,
    depth      INTEGER NOT NULL,   -- of the calls, jobs and events that led to it, which is bounded
    committed  TIMESTAMP NOT NULL, -- UTC
    failed_at  TIMESTAMP,          -- when it was given up
    error      VARCHAR
);
