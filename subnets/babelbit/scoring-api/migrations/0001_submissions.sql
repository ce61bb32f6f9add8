-- What validators submitted. SQLite and PostgreSQL read this file alike.

CREATE TABLE submission (
    validator      TEXT   NOT NULL,
    challenge_uid  TEXT   NOT NULL,
    challenge_type TEXT   NOT NULL,
    miner_hotkey   TEXT   NOT NULL,
    miner_uid      BIGINT NOT NULL,
    kind           TEXT   NOT NULL,
    -- Empty where a kind has one file for each challenge.
    dialogue_uid   TEXT   NOT NULL,
    -- When the validator signed it, and when it came, in seconds since 1970.
    signed_unix    BIGINT NOT NULL,
    received_unix  BIGINT NOT NULL,
    -- What was signed (JSON, ASCII), and the signature: together they prove who said what.
    payload        TEXT   NOT NULL,
    signature      TEXT   NOT NULL,
    -- Where the file is; null where there is none.
    artifact       TEXT,
    PRIMARY KEY (validator, challenge_uid, challenge_type, miner_hotkey, miner_uid, kind, dialogue_uid)
);

CREATE INDEX submission_received ON submission (received_unix);

-- The newest score that each validator gave each miner.
CREATE TABLE score (
    challenge_uid  TEXT             NOT NULL,
    challenge_type TEXT             NOT NULL,
    miner_hotkey   TEXT             NOT NULL,
    validator      TEXT             NOT NULL,
    miner_uid      BIGINT           NOT NULL,
    mean_score     DOUBLE PRECISION NOT NULL,
    signed_unix    BIGINT           NOT NULL,
    received_unix  BIGINT           NOT NULL,
    PRIMARY KEY (challenge_uid, challenge_type, miner_hotkey, validator)
);

CREATE INDEX score_received ON score (received_unix);
