-- Form 1 of the registry. Times are seconds since 1970 in UTC; keys and hashes are bytes.
CREATE TABLE invites (
    id           BLOB PRIMARY KEY NOT NULL,
    secret_hash  BLOB NOT NULL,
    service      TEXT NOT NULL,
    alias        TEXT,
    note         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    not_after    INTEGER NOT NULL,
    withdrawn_at INTEGER,
    used_at      INTEGER,
    used_key     BLOB,
    device       TEXT REFERENCES devices (id),
    registered   TEXT REFERENCES services (id)
) STRICT;

CREATE TABLE devices (
    id         TEXT PRIMARY KEY NOT NULL,
    key        BLOB NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    software   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER,
    ended_by   TEXT
) STRICT;

-- IDs are never given twice, so rows stay when a service has gone.
CREATE TABLE services (
    id         TEXT PRIMARY KEY NOT NULL,
    device     TEXT NOT NULL REFERENCES devices (id),
    name       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    port       INTEGER,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX services_of_device ON services (device, name) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX services_by_port ON services (port) WHERE ended_at IS NULL AND port > 0;

CREATE TABLE aliases (
    alias      TEXT PRIMARY KEY NOT NULL,
    service    TEXT NOT NULL REFERENCES services (id),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX aliases_of_service ON aliases (service);

-- An alias that was given up is kept from others for a while.
CREATE TABLE tombstones (
    alias       TEXT PRIMARY KEY NOT NULL,
    device      TEXT NOT NULL REFERENCES devices (id),
    released_at INTEGER NOT NULL
) STRICT;

-- What happened, for the operator. Never a secret.
CREATE TABLE events (
    number  INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    what    TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
) STRICT;
