-- Which projects have linked buckets, and of whom. The truth is in the projects' own
-- files: a row is here before its link is made, and until after it is removed.
CREATE TABLE links (
    target_project VARCHAR NOT NULL,
    bucket         VARCHAR NOT NULL, -- in the target
    source_project VARCHAR NOT NULL,
    source_bucket  VARCHAR NOT NULL,
    created        TIMESTAMP NOT NULL
);
