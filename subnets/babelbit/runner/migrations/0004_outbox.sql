-- Which result files are to be submitted to the scoring API, and what became of that.

CREATE TABLE outbox (
    id           INTEGER PRIMARY KEY,
    challenge_id INTEGER NOT NULL REFERENCES challenge (id),
    miner_uid    INTEGER NOT NULL,
    miner_hotkey TEXT    NOT NULL,
    -- The file, as submissions call it: dialogue_log, artifact, challenge_run or challenge_scores.
    file         TEXT    NOT NULL,
    -- SHA-256 of the run log that the miner's files were written with. Files that are written anew with another one are
    -- submitted again.
    run_sha256   TEXT    NOT NULL,
    score_method TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'refused')),
    -- Where the file is in the bucket; null until it is there.
    s3_path      TEXT,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- The next attempt, or when it came to its end, in milliseconds since 1970.
    due_unix_ms  INTEGER NOT NULL DEFAULT 0,
    -- Why the last attempt failed.
    error        TEXT,
    UNIQUE (challenge_id, miner_uid, miner_hotkey, file)
) STRICT;

CREATE INDEX outbox_due ON outbox (state, due_unix_ms, id);
