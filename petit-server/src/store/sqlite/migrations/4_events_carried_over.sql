-- Form 4: what the events said is in the log of changes (`carry_events_over`).
DROP TABLE events;
