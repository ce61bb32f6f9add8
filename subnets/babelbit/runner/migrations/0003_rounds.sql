-- The main challenge that a solo challenge was played beside; null for others.
ALTER TABLE challenge ADD COLUMN main_challenge_uid TEXT;

-- For each contest, the last epoch of blocks whose round is over.
CREATE TABLE round (
    challenge_type TEXT    PRIMARY KEY,
    -- Null where the chain could not be read.
    epoch          INTEGER,
    -- 'waited': the first start, which waits for the next epoch.
    outcome        TEXT    NOT NULL CHECK (outcome IN ('played', 'failed', 'waited')),
    -- The challenge, where there was one.
    challenge_uid  TEXT,
    ended_unix     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
