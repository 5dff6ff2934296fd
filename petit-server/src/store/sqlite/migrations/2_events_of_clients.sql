-- Form 2: an event knows the client that caused it, so that no client can push the events of others out.
ALTER TABLE events ADD COLUMN device TEXT;
UPDATE events SET device = subject WHERE what = 'device-renamed';
CREATE INDEX events_of_device ON events (device, number) WHERE device IS NOT NULL;
-- A client is shown with the note of its invite.
CREATE INDEX invites_of_device ON invites (device, used_at) WHERE device IS NOT NULL;
