-- SQLite only: all tables become STRICT. In other tables, SQLite stores an integer that overflows as a floating-point
-- number; in these, the statement fails, as in PostgreSQL. Tables are replaced before those that they reference.

CREATE TABLE node_strict (
    hotkey       TEXT    NOT NULL PRIMARY KEY,
    uid          INTEGER NOT NULL,
    host         TEXT    NOT NULL,
    port         INTEGER NOT NULL,
    seen_ms      INTEGER NOT NULL,
    key_id       TEXT,
    key_hex      TEXT,
    key_ends_ns  INTEGER,
    key_signed   INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO node_strict SELECT hotkey, uid, host, port, seen_ms, key_id, key_hex, key_ends_ns, key_signed FROM node;
DROP TABLE node;
ALTER TABLE node_strict RENAME TO node;

CREATE TABLE sample_strict (
    job_id        TEXT    NOT NULL PRIMARY KEY,
    period_id     INTEGER NOT NULL,
    task          TEXT    NOT NULL,
    hotkey        TEXT    NOT NULL,
    uid           INTEGER NOT NULL,
    synthetic     INTEGER NOT NULL,
    request       TEXT    NOT NULL,
    answer        TEXT    NOT NULL,
    work          REAL    NOT NULL,
    response_time REAL,
    created_ms    INTEGER NOT NULL
) STRICT;
INSERT INTO sample_strict
SELECT job_id, period_id, task, hotkey, uid, synthetic, request, answer, work, response_time, created_ms FROM sample;
DROP TABLE sample;
ALTER TABLE sample_strict RENAME TO sample;
CREATE INDEX sample_task ON sample (task, created_ms);

CREATE TABLE reward_strict (
    job_id        TEXT    NOT NULL PRIMARY KEY,
    period_id     INTEGER NOT NULL,
    task          TEXT    NOT NULL,
    hotkey        TEXT    NOT NULL,
    uid           INTEGER NOT NULL,
    synthetic     INTEGER NOT NULL,
    quality       REAL,
    metric        REAL,
    work          REAL    NOT NULL,
    response_time REAL,
    reason        TEXT    NOT NULL,
    created_ms    INTEGER NOT NULL
) STRICT;
INSERT INTO reward_strict
SELECT job_id, period_id, task, hotkey, uid, synthetic, quality, metric, work, response_time, reason, created_ms
FROM reward;
DROP TABLE reward;
ALTER TABLE reward_strict RENAME TO reward;
CREATE INDEX reward_history ON reward (task, hotkey, created_ms);
CREATE INDEX reward_age ON reward (created_ms);

CREATE TABLE market_strict (
    number INTEGER NOT NULL PRIMARY KEY,
    id     TEXT    NOT NULL
) STRICT;
INSERT INTO market_strict SELECT number, id FROM market;
DROP TABLE market;
ALTER TABLE market_strict RENAME TO market;

-- Periods.

CREATE TABLE period_strict (
    id         INTEGER NOT NULL PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    length_ms  INTEGER NOT NULL,
    profile    TEXT    NOT NULL,
    closed_ms  INTEGER
) STRICT;
INSERT INTO period_strict SELECT id, started_ms, length_ms, profile, closed_ms FROM period;

CREATE TABLE contender_strict (
    period_id      INTEGER NOT NULL REFERENCES period_strict (id),
    task           TEXT    NOT NULL,
    hotkey         TEXT    NOT NULL,
    uid            INTEGER NOT NULL,
    declared       REAL    NOT NULL,
    accepted       REAL    NOT NULL,
    to_score       REAL    NOT NULL,
    sent           REAL    NOT NULL DEFAULT 0,
    total_requests REAL    NOT NULL DEFAULT 0,
    requests_429   REAL    NOT NULL DEFAULT 0,
    requests_500   REAL    NOT NULL DEFAULT 0,
    consumed       REAL    NOT NULL DEFAULT 0,
    score          REAL,
    PRIMARY KEY (period_id, task, hotkey)
) STRICT;
INSERT INTO contender_strict
SELECT period_id, task, hotkey, uid, declared, accepted, to_score, sent, total_requests, requests_429, requests_500,
       consumed, score
FROM contender;
DROP TABLE contender;
ALTER TABLE contender_strict RENAME TO contender;
CREATE INDEX contender_history ON contender (task, hotkey, period_id);

CREATE TABLE budget_strict (
    period_id INTEGER NOT NULL REFERENCES period_strict (id),
    task      TEXT    NOT NULL,
    planned   INTEGER NOT NULL,
    remaining INTEGER NOT NULL,
    PRIMARY KEY (period_id, task)
) STRICT;
INSERT INTO budget_strict SELECT period_id, task, planned, remaining FROM budget;
DROP TABLE budget;
ALTER TABLE budget_strict RENAME TO budget;

CREATE TABLE contender_part_strict (
    period_id      INTEGER NOT NULL REFERENCES period_strict (id),
    task           TEXT    NOT NULL,
    hotkey         TEXT    NOT NULL,
    process        TEXT    NOT NULL,
    sent           REAL    NOT NULL,
    total_requests REAL    NOT NULL,
    requests_429   REAL    NOT NULL,
    requests_500   REAL    NOT NULL,
    consumed       REAL    NOT NULL,
    PRIMARY KEY (period_id, task, hotkey, process)
) STRICT;
INSERT INTO contender_part_strict
SELECT period_id, task, hotkey, process, sent, total_requests, requests_429, requests_500, consumed FROM contender_part;
DROP TABLE contender_part;
ALTER TABLE contender_part_strict RENAME TO contender_part;

CREATE TABLE budget_part_strict (
    period_id INTEGER NOT NULL REFERENCES period_strict (id),
    task      TEXT    NOT NULL,
    process   TEXT    NOT NULL,
    spent     INTEGER NOT NULL,
    PRIMARY KEY (period_id, task, process)
) STRICT;
INSERT INTO budget_part_strict SELECT period_id, task, process, spent FROM budget_part;
DROP TABLE budget_part;
ALTER TABLE budget_part_strict RENAME TO budget_part;

CREATE TABLE period_config_strict (
    period_id INTEGER NOT NULL PRIMARY KEY REFERENCES period_strict (id),
    config    TEXT    NOT NULL
) STRICT;
INSERT INTO period_config_strict SELECT period_id, config FROM period_config;
DROP TABLE period_config;
ALTER TABLE period_config_strict RENAME TO period_config;

DROP TABLE period;
ALTER TABLE period_strict RENAME TO period;

-- Buyers and credits. Numbers that have overflowed become the largest integer.

CREATE TABLE api_key_strict (
    id              TEXT    NOT NULL PRIMARY KEY,
    hash            TEXT    NOT NULL UNIQUE,
    name            TEXT    NOT NULL,
    rate_per_minute INTEGER NOT NULL,
    models          TEXT,
    monthly_budget  INTEGER,
    created_ms      INTEGER NOT NULL,
    revoked_ms      INTEGER
) STRICT;
INSERT INTO api_key_strict
SELECT id, hash, name, rate_per_minute, models, monthly_budget, created_ms, revoked_ms FROM api_key;

CREATE TABLE account_strict (
    name    TEXT    NOT NULL PRIMARY KEY,
    balance INTEGER NOT NULL
) STRICT;
INSERT INTO account_strict SELECT name, CAST(balance AS INTEGER) FROM account;

CREATE TABLE transfer_strict (
    id         INTEGER NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    reference  TEXT    NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
INSERT INTO transfer_strict SELECT id, kind, reference, created_ms FROM transfer;

CREATE TABLE posting_strict (
    transfer_id INTEGER NOT NULL REFERENCES transfer_strict (id),
    account     TEXT    NOT NULL REFERENCES account_strict (name),
    amount      INTEGER NOT NULL,
    PRIMARY KEY (transfer_id, account)
) STRICT;
INSERT INTO posting_strict SELECT transfer_id, account, amount FROM posting;
DROP TABLE posting;
ALTER TABLE posting_strict RENAME TO posting;

CREATE TABLE hold_strict (
    request_id TEXT    NOT NULL PRIMARY KEY,
    key_id     TEXT    NOT NULL REFERENCES api_key_strict (id),
    amount     INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
INSERT INTO hold_strict SELECT request_id, key_id, amount, created_ms FROM hold;
DROP TABLE hold;
ALTER TABLE hold_strict RENAME TO hold;

CREATE TABLE usage_day_strict (
    key_id        TEXT    NOT NULL REFERENCES api_key_strict (id),
    day           TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    requests      INTEGER NOT NULL,
    input_tokens  INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    charged       INTEGER NOT NULL,
    PRIMARY KEY (key_id, day, model)
) STRICT;
INSERT INTO usage_day_strict
SELECT key_id, day, model, CAST(requests AS INTEGER), CAST(input_tokens AS INTEGER), CAST(output_tokens AS INTEGER),
       CAST(charged AS INTEGER)
FROM usage_day;
DROP TABLE usage_day;
ALTER TABLE usage_day_strict RENAME TO usage_day;

CREATE TABLE idempotent_strict (
    key_id       TEXT    NOT NULL REFERENCES api_key_strict (id),
    name         TEXT    NOT NULL,
    fingerprint  TEXT    NOT NULL,
    content_type TEXT,
    body         TEXT,
    created_ms   INTEGER NOT NULL,
    PRIMARY KEY (key_id, name)
) STRICT;
INSERT INTO idempotent_strict SELECT key_id, name, fingerprint, content_type, body, created_ms FROM idempotent;
DROP TABLE idempotent;
ALTER TABLE idempotent_strict RENAME TO idempotent;
CREATE INDEX idempotent_age ON idempotent (created_ms);

CREATE TABLE rate_strict (
    key_id   TEXT    NOT NULL REFERENCES api_key_strict (id),
    second   INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (key_id, second)
) STRICT;
INSERT INTO rate_strict SELECT key_id, second, requests FROM rate;
DROP TABLE rate;
ALTER TABLE rate_strict RENAME TO rate;

DROP TABLE account;
ALTER TABLE account_strict RENAME TO account;
DROP TABLE transfer;
ALTER TABLE transfer_strict RENAME TO transfer;
DROP TABLE api_key;
ALTER TABLE api_key_strict RENAME TO api_key;
