-- Form 3: each change of the registry is a row of one log, chained to the row before it. It takes the place of the events.
CREATE TABLE changes (
    version INTEGER PRIMARY KEY NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    body    TEXT NOT NULL,
    prev    BLOB NOT NULL,
    hash    BLOB NOT NULL
) STRICT;
CREATE INDEX changes_by_actor ON changes (actor, at);
CREATE INDEX changes_by_subject ON changes (subject, at);

-- One row: where the log stands, and up to where it was trimmed, signed.
CREATE TABLE registry (
    id         INTEGER PRIMARY KEY NOT NULL CHECK (id = 1),
    version    INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    checkpoint TEXT
) STRICT;
INSERT INTO registry (id, version, hash) VALUES (1, 0, zeroblob(32));

-- Both are asked for a client, or an alias, and must not look at those of all.
CREATE INDEX services_given ON services (device, created_at);
CREATE INDEX invites_of_alias ON invites (alias) WHERE alias IS NOT NULL AND used_at IS NULL AND withdrawn_at IS NULL;
