-- Form 9: since when the operator has kept a client out that stays registered.

ALTER TABLE devices ADD COLUMN suspended_at INTEGER;
