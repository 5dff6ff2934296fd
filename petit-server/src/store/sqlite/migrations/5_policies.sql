-- Form 5: what the operator asks of visitors.

-- The keys that visitors show. Of a secret there is its SHA-256 alone; none of one that was revoked.
CREATE TABLE visitor_keys (
    id             TEXT PRIMARY KEY NOT NULL,
    name           TEXT NOT NULL UNIQUE,
    hash           BLOB,
    -- The one from before the last rotation, and until when it is good.
    previous_hash  BLOB,
    previous_until INTEGER,
    created_at     INTEGER NOT NULL,
    rotated_at     INTEGER,
    revoked_at     INTEGER
) STRICT;

-- Lists are JSON: texts. What is null is not asked for.
CREATE TABLE policies (
    name        TEXT PRIMARY KEY NOT NULL,
    services    TEXT NOT NULL,
    addresses   TEXT,
    keys        TEXT,
    rate        INTEGER,
    burst       INTEGER,
    concurrent  INTEGER,
    per         TEXT NOT NULL,
    max_body    INTEGER,
    enforcement TEXT NOT NULL,
    changed_at  INTEGER NOT NULL
) STRICT;
