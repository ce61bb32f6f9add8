-- Transcriptions by workers.

CREATE TABLE scorer_job (
    -- SHA-256 of the audio, and the recogniser's name and fingerprint, in hex.
    job          TEXT    PRIMARY KEY,
    -- Times that a worker began and neither finished nor handed the job back.
    tries        BIGINT  NOT NULL,
    -- The last worker that began.
    worker       TEXT    NOT NULL,
    -- MessagePack; null until a worker is done.
    result       BYTEA,
    is_failure   BOOLEAN NOT NULL,
    -- Seconds since 1970.
    changed_unix BIGINT  NOT NULL
);

CREATE INDEX scorer_job_changed ON scorer_job (changed_unix);
