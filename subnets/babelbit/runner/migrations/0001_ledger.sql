-- What a runner has played and scored. Result files are written from these rows alone.

CREATE TABLE challenge (
    id               INTEGER PRIMARY KEY,
    challenge_uid    TEXT    NOT NULL,
    challenge_type   TEXT    NOT NULL,
    -- Local time of the first run, as file names carry it: chosen once, so that a second run writes the same names.
    run_timestamp    TEXT    NOT NULL,
    started_unix     INTEGER NOT NULL,
    state            TEXT    NOT NULL CHECK (state IN ('playing', 'partial', 'finished')),
    -- Why the engine did not deliver the whole challenge.
    error            TEXT,
    -- The reference document (JSON) and where it came from.
    reference        TEXT,
    reference_source TEXT,
    UNIQUE (challenge_uid, challenge_type)
) STRICT;

CREATE TABLE utterance (
    challenge_id       INTEGER NOT NULL REFERENCES challenge (id),
    utterance_index    INTEGER NOT NULL,
    utterance_id       TEXT    NOT NULL,
    language           TEXT    NOT NULL,
    -- The source as the engine gave it (JSON); null when it cannot be played, and `error` says why.
    source             TEXT,
    error              TEXT,
    PRIMARY KEY (challenge_id, utterance_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE result (
    challenge_id    INTEGER NOT NULL REFERENCES challenge (id),
    miner_uid       INTEGER NOT NULL,
    miner_hotkey    TEXT    NOT NULL,
    utterance_index INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('played', 'scored')),
    -- The reply without its sound (JSON), or how it failed.
    reply           TEXT    NOT NULL,
    -- SHA-256 of the reply's WAV file; null when the reply failed.
    wav_sha256      TEXT,
    -- Why the reply failed.
    error           TEXT,
    -- The score (JSON); null until scored, and for a reply that failed.
    score           TEXT,
    PRIMARY KEY (challenge_id, miner_uid, miner_hotkey, utterance_index)
) STRICT, WITHOUT ROWID;

-- Miners whose result files are written.
CREATE TABLE finished_miner (
    challenge_id INTEGER NOT NULL REFERENCES challenge (id),
    miner_uid    INTEGER NOT NULL,
    miner_hotkey TEXT    NOT NULL,
    PRIMARY KEY (challenge_id, miner_uid, miner_hotkey)
) STRICT, WITHOUT ROWID;
