-- Form 6: what the operator finds clients and invites by. Tags are JSON: a list of texts, in alphabetical order.

ALTER TABLE invites ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE devices ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE devices ADD COLUMN note TEXT NOT NULL DEFAULT '';

-- Until now a client was shown with the note of the invite that it had used last.
UPDATE devices SET note =
    coalesce((SELECT note FROM invites WHERE device = devices.id ORDER BY used_at DESC LIMIT 1), '');
