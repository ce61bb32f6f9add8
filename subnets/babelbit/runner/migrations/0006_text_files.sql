-- The text contest has several files of one type for each miner: a file is identified by its type and its name.
CREATE TABLE outbox_of_files (
    id           INTEGER PRIMARY KEY,
    challenge_id INTEGER NOT NULL REFERENCES challenge (id),
    miner_uid    INTEGER NOT NULL,
    miner_hotkey TEXT    NOT NULL,
    -- The file, as submissions call it: dialogue_log, artifact, challenge_run, dialogue_scores or challenge_scores.
    file         TEXT    NOT NULL,
    -- The file's name in the text contest; empty in the speech contest, where type, miner and challenge give the path.
    name         TEXT    NOT NULL DEFAULT '',
    -- The dialogue of a file of the text contest; null for a file about the complete challenge.
    dialogue_uid TEXT,
    -- SHA-256 of the run log that the miner's files were written with, or of the file itself in the text contest. Files
    -- that are written anew with another one are submitted again.
    run_sha256   TEXT    NOT NULL,
    -- Empty in the text contest.
    score_method TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('waiting', 'delivered', 'refused')),
    -- Where the file is in the bucket; null until it is there.
    s3_path      TEXT,
    attempts     INTEGER NOT NULL DEFAULT 0,
    -- The next attempt, or when it came to its end, in milliseconds since 1970.
    due_unix_ms  INTEGER NOT NULL DEFAULT 0,
    -- Why the last attempt failed.
    error        TEXT,
    UNIQUE (challenge_id, miner_uid, miner_hotkey, file, name)
) STRICT;

INSERT INTO outbox_of_files
    (id, challenge_id, miner_uid, miner_hotkey, file, run_sha256, score_method, state, s3_path, attempts, due_unix_ms,
     error)
SELECT id, challenge_id, miner_uid, miner_hotkey, file, run_sha256, score_method, state, s3_path, attempts, due_unix_ms,
       error
FROM outbox;

DROP TABLE outbox;
ALTER TABLE outbox_of_files RENAME TO outbox;
CREATE INDEX outbox_due ON outbox (state, due_unix_ms, id);
