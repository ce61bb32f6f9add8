-- The market of one validator. SQLite and PostgreSQL read this file alike. Times are milliseconds since 1970.

-- Miners as the chain has them, and the key that each has taken.
CREATE TABLE node (
    hotkey       TEXT    NOT NULL PRIMARY KEY,
    uid          BIGINT  NOT NULL,
    host         TEXT    NOT NULL,
    port         BIGINT  NOT NULL,
    seen_ms      BIGINT  NOT NULL,
    -- The symmetric key: its id, the key in hexadecimal, when the miner forgets it (nanoseconds), whether it was signed.
    key_id       TEXT,
    key_hex      TEXT,
    key_ends_ns  BIGINT,
    key_signed   BIGINT  NOT NULL DEFAULT 0
);

CREATE TABLE period (
    id         BIGINT NOT NULL PRIMARY KEY,
    started_ms BIGINT NOT NULL,
    length_ms  BIGINT NOT NULL,
    -- Formula of the scores.
    profile    TEXT   NOT NULL,
    -- Null while it runs. One period runs at a time.
    closed_ms  BIGINT
);

-- A miner's offer for one task in one period, and what came of it.
CREATE TABLE contender (
    period_id      BIGINT           NOT NULL REFERENCES period (id),
    task           TEXT             NOT NULL,
    hotkey         TEXT             NOT NULL,
    uid            BIGINT           NOT NULL,
    declared       DOUBLE PRECISION NOT NULL,
    accepted       DOUBLE PRECISION NOT NULL,
    to_score       DOUBLE PRECISION NOT NULL,
    -- Volume of the requests that were sent as tests.
    sent           DOUBLE PRECISION NOT NULL DEFAULT 0,
    total_requests DOUBLE PRECISION NOT NULL DEFAULT 0,
    requests_429   DOUBLE PRECISION NOT NULL DEFAULT 0,
    requests_500   DOUBLE PRECISION NOT NULL DEFAULT 0,
    consumed       DOUBLE PRECISION NOT NULL DEFAULT 0,
    score          DOUBLE PRECISION,
    PRIMARY KEY (period_id, task, hotkey)
);

CREATE INDEX contender_history ON contender (task, hotkey, period_id);

-- Synthetic requests that remain in a period.
CREATE TABLE budget (
    period_id BIGINT NOT NULL REFERENCES period (id),
    task      TEXT   NOT NULL,
    planned   BIGINT NOT NULL,
    remaining BIGINT NOT NULL,
    PRIMARY KEY (period_id, task)
);

-- Answers that wait to be checked.
CREATE TABLE sample (
    job_id        TEXT             NOT NULL PRIMARY KEY,
    period_id     BIGINT           NOT NULL,
    task          TEXT             NOT NULL,
    hotkey        TEXT             NOT NULL,
    uid           BIGINT           NOT NULL,
    synthetic     BIGINT           NOT NULL,
    -- What was asked, and the answer's chunks (JSON).
    request       TEXT             NOT NULL,
    answer        TEXT             NOT NULL,
    work          DOUBLE PRECISION NOT NULL,
    response_time DOUBLE PRECISION,
    created_ms    BIGINT           NOT NULL
);

CREATE INDEX sample_task ON sample (task, created_ms);

-- Answers that were checked: one row for each job, whatever happens.
CREATE TABLE reward (
    job_id        TEXT             NOT NULL PRIMARY KEY,
    period_id     BIGINT           NOT NULL,
    task          TEXT             NOT NULL,
    hotkey        TEXT             NOT NULL,
    uid           BIGINT           NOT NULL,
    synthetic     BIGINT           NOT NULL,
    quality       DOUBLE PRECISION,
    metric        DOUBLE PRECISION,
    work          DOUBLE PRECISION NOT NULL,
    response_time DOUBLE PRECISION,
    -- Why, for people.
    reason        TEXT             NOT NULL,
    created_ms    BIGINT           NOT NULL
);

CREATE INDEX reward_history ON reward (task, hotkey, created_ms);
CREATE INDEX reward_age ON reward (created_ms);
