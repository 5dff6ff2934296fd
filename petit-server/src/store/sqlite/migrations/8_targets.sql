-- Form 8: for which program a client has said something, what a roll-out brings to each, and who has halted it when.

-- What the client has asked for; not known of those that said it before.
ALTER TABLE update_reports ADD COLUMN target TEXT;

-- The version of each target, as one object of JSON; empty for those that were started before.
ALTER TABLE rollouts ADD COLUMN versions TEXT NOT NULL DEFAULT '{}';
ALTER TABLE rollouts ADD COLUMN halted_at INTEGER;
-- 1 where nobody had asked for it.
ALTER TABLE rollouts ADD COLUMN halted_itself INTEGER NOT NULL DEFAULT 0;
