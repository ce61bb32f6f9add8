-- Buyers: API keys, prepaid credits in double entry, usage.

CREATE TABLE api_key (
    -- Public part of the key.
    id              TEXT   NOT NULL PRIMARY KEY,
    -- SHA-256 of the whole key, in hexadecimal. The key itself is nowhere.
    hash            TEXT   NOT NULL UNIQUE,
    name            TEXT   NOT NULL,
    rate_per_minute BIGINT NOT NULL,
    -- JSON array of task names; null is all.
    models          TEXT,
    -- Most credits a calendar month (UTC); null is no limit.
    monthly_budget  BIGINT,
    created_ms      BIGINT NOT NULL,
    revoked_ms      BIGINT
);

-- Balances; they are the sums of the postings. Accounts: issued (what was given out, negative), revenue, key:ID (what a key
-- may spend), held:ID (what its running requests may cost).
CREATE TABLE account (
    name    TEXT   NOT NULL PRIMARY KEY,
    balance BIGINT NOT NULL
);

CREATE TABLE transfer (
    id         BIGINT NOT NULL PRIMARY KEY,
    -- grant, hold, charge
    kind       TEXT   NOT NULL,
    -- The request, or why credits were given.
    reference  TEXT   NOT NULL,
    created_ms BIGINT NOT NULL
);

-- The postings of each transfer sum to 0.
CREATE TABLE posting (
    transfer_id BIGINT NOT NULL REFERENCES transfer (id),
    account     TEXT   NOT NULL REFERENCES account (name),
    amount      BIGINT NOT NULL,
    PRIMARY KEY (transfer_id, account)
);

-- Credits that a running request may cost. The row goes when it is charged.
CREATE TABLE hold (
    request_id TEXT   NOT NULL PRIMARY KEY,
    key_id     TEXT   NOT NULL REFERENCES api_key (id),
    amount     BIGINT NOT NULL,
    created_ms BIGINT NOT NULL
);

CREATE TABLE usage_day (
    key_id        TEXT   NOT NULL REFERENCES api_key (id),
    -- Such as 2026-11-21 (UTC).
    day           TEXT   NOT NULL,
    model         TEXT   NOT NULL,
    requests      BIGINT NOT NULL,
    input_tokens  BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    charged       BIGINT NOT NULL,
    PRIMARY KEY (key_id, day, model)
);
