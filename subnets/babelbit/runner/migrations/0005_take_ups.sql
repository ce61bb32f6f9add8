-- How often a later round has tried to finish a challenge that was no longer the current one.
ALTER TABLE challenge ADD COLUMN take_ups INTEGER NOT NULL DEFAULT 0;
