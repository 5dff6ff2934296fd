-- Form 7: how far a release is handed out, and what clients have said has become of it.

-- One row for each release that was rolled out; the one that was written last is the one that goes on. A release is known
-- by what is in it, and not by its number: signed anew it is the same. Rings are one text, as the operator writes them.
CREATE TABLE rollouts (
    release    TEXT PRIMARY KEY NOT NULL,
    counter    INTEGER NOT NULL,
    rings      TEXT NOT NULL,
    -- How many of them are open.
    open       INTEGER NOT NULL,
    -- How long a ring is watched at least, in seconds.
    soak       INTEGER NOT NULL,
    state      TEXT NOT NULL,
    -- Why it was halted.
    reason     TEXT,
    started_at INTEGER NOT NULL,
    -- When it was resumed last: what had gone wrong by then does not count any more.
    resumed_at INTEGER,
    -- When the last ring was opened.
    opened_at  INTEGER NOT NULL
) STRICT;

-- What a client has said last. No change of the registry: it is the client's word, and changes by itself.
CREATE TABLE update_reports (
    device  TEXT PRIMARY KEY NOT NULL REFERENCES devices (id),
    counter INTEGER NOT NULL,
    version TEXT NOT NULL,
    state   TEXT NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
