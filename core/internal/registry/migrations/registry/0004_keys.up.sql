-- Keys have an id, a level, an optional branch and an optional end, and keep the hash of
-- the secret before the last rotation until that ends. A key of an earlier release, one
-- for each project, becomes an admin key of its project; its subject stays, because jobs
-- and idempotency keys know it by that. Its id is a ULID of its time of creation and of a
-- digest, which says nothing about its secret.
ALTER TABLE keys RENAME TO keys_of_0003;
CREATE TABLE keys (
    id           VARCHAR NOT NULL,   -- ULID; empty for the admin key of the service
    subject      VARCHAR NOT NULL,   -- how the key is called in logs
    project      VARCHAR NOT NULL,   -- empty for the admin key of the service
    description  VARCHAR NOT NULL,
    level        VARCHAR NOT NULL,   -- read, write, admin: the highest that it has; empty for the admin key of the service
    branch       VARCHAR NOT NULL,   -- empty for every branch
    created      TIMESTAMP NOT NULL,
    expires      TIMESTAMP,          -- NULL for never
    hash         VARCHAR NOT NULL,   -- SHA-256 of the secret, hex
    replaced     VARCHAR NOT NULL,   -- likewise of the secret before; empty for none
    replaced_end TIMESTAMP           -- when that ended or ends
);
INSERT INTO keys
SELECT
    CASE WHEN project IS NULL THEN '' ELSE
        array_to_string([substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + ((epoch_ms(created) >> (5 * i)) & 31)::INTEGER, 1) FOR i IN range(9, -1, -1)], '')
        || upper(left(sha256('id of ' || hash), 16))
    END,
    subject, coalesce(project, ''), CASE WHEN project IS NULL THEN '' ELSE 'made with the project' END,
    CASE WHEN project IS NULL THEN '' ELSE 'admin' END, '', created, NULL, hash, '', NULL
FROM keys_of_0003;
DROP TABLE keys_of_0003;
