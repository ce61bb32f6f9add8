-- The database of the reference's validator, after all of its migrations.

CREATE TABLE nodes (
    hotkey             TEXT             NOT NULL,
    coldkey            TEXT             NOT NULL,
    node_id            INTEGER          NOT NULL,
    incentive          DOUBLE PRECISION NOT NULL,
    netuid             INTEGER          NOT NULL,
    stake              DOUBLE PRECISION NOT NULL,
    trust              DOUBLE PRECISION NOT NULL,
    vtrust             DOUBLE PRECISION NOT NULL,
    last_updated       DOUBLE PRECISION,
    ip                 TEXT             NOT NULL,
    ip_type            INTEGER          NOT NULL,
    port               INTEGER          NOT NULL,
    protocol           INTEGER          NOT NULL DEFAULT 4,
    network            TEXT             NOT NULL,
    symmetric_key      TEXT,
    symmetric_key_uuid TEXT,
    our_validator      BOOLEAN          NOT NULL DEFAULT FALSE,
    created_at         TIMESTAMP        NOT NULL DEFAULT (NOW() AT TIME ZONE 'utc'),
    PRIMARY KEY (hotkey, netuid)
);

CREATE TABLE nodes_history (
    id            SERIAL           PRIMARY KEY,
    hotkey        TEXT             NOT NULL,
    coldkey       TEXT             NOT NULL,
    node_id       INTEGER          NOT NULL,
    incentive     DOUBLE PRECISION NOT NULL,
    netuid        INTEGER          NOT NULL,
    stake         DOUBLE PRECISION NOT NULL,
    trust         DOUBLE PRECISION NOT NULL,
    vtrust        DOUBLE PRECISION NOT NULL,
    last_updated  DOUBLE PRECISION,
    ip            TEXT             NOT NULL,
    ip_type       INTEGER          NOT NULL,
    port          INTEGER          NOT NULL,
    protocol      INTEGER          NOT NULL DEFAULT 4,
    network       TEXT             NOT NULL,
    our_validator BOOLEAN          NOT NULL DEFAULT FALSE,
    created_at    TIMESTAMP        NOT NULL,
    expired_at    TIMESTAMP        NOT NULL DEFAULT (NOW() AT TIME ZONE 'utc')
);

CREATE TABLE contenders (
    contender_id        TEXT             PRIMARY KEY,
    node_hotkey         TEXT             NOT NULL,
    node_id             INTEGER          NOT NULL,
    netuid              INTEGER          NOT NULL,
    task                TEXT             NOT NULL,
    validator_hotkey    TEXT             NOT NULL,
    raw_capacity        DOUBLE PRECISION NOT NULL,
    capacity            DOUBLE PRECISION NOT NULL,
    capacity_to_score   DOUBLE PRECISION NOT NULL,
    consumed_capacity   DOUBLE PRECISION NOT NULL,
    total_requests_made INTEGER          NOT NULL DEFAULT 0,
    requests_429        INTEGER          NOT NULL DEFAULT 0,
    requests_500        INTEGER          NOT NULL DEFAULT 0,
    period_score        DOUBLE PRECISION,
    created_at          TIMESTAMP        NOT NULL,
    updated_at          TIMESTAMP        NOT NULL
);

CREATE TABLE contenders_history (
    id                  SERIAL           PRIMARY KEY,
    contender_id        TEXT             NOT NULL,
    node_hotkey         TEXT             NOT NULL,
    node_id             INTEGER          NOT NULL,
    netuid              INTEGER          NOT NULL,
    task                TEXT             NOT NULL,
    validator_hotkey    TEXT             NOT NULL,
    raw_capacity        DOUBLE PRECISION NOT NULL,
    capacity            DOUBLE PRECISION NOT NULL,
    capacity_to_score   DOUBLE PRECISION NOT NULL,
    consumed_capacity   DOUBLE PRECISION NOT NULL,
    total_requests_made INTEGER          NOT NULL DEFAULT 0,
    requests_429        INTEGER          NOT NULL DEFAULT 0,
    requests_500        INTEGER          NOT NULL DEFAULT 0,
    period_score        DOUBLE PRECISION,
    created_at          TIMESTAMP        NOT NULL,
    updated_at          TIMESTAMP        NOT NULL,
    expired_at          TIMESTAMP        NOT NULL DEFAULT (NOW() AT TIME ZONE 'utc')
);

CREATE TABLE tasks (
    id            SERIAL    PRIMARY KEY,
    task_name     TEXT      NOT NULL,
    checking_data TEXT      NOT NULL,
    node_hotkey   TEXT      NOT NULL,
    created_at    TIMESTAMP NOT NULL DEFAULT (NOW() AT TIME ZONE 'utc')
);

CREATE TABLE reward_data (
    id               UUID             NOT NULL,
    task             TEXT             NOT NULL,
    node_id          INTEGER          NOT NULL,
    quality_score    DOUBLE PRECISION NOT NULL,
    validator_hotkey TEXT             NOT NULL,
    node_hotkey      TEXT             NOT NULL,
    synthetic_query  BOOLEAN          NOT NULL,
    response_time    DOUBLE PRECISION,
    volume           DOUBLE PRECISION,
    created_at       TIMESTAMP        NOT NULL DEFAULT (NOW() AT TIME ZONE 'utc'),
    metric           DOUBLE PRECISION
);

CREATE TABLE api_keys (
    key                   TEXT      PRIMARY KEY,
    name                  TEXT      NOT NULL,
    balance               REAL      NOT NULL,
    rate_limit_per_minute INTEGER   NOT NULL DEFAULT 60,
    created_at            TIMESTAMP NOT NULL
);

CREATE TABLE logs (
    key        TEXT REFERENCES api_keys (key) ON DELETE CASCADE,
    endpoint   TEXT,
    cost       REAL,
    balance    REAL,
    created_at TIMESTAMP
);

CREATE TABLE contenders_weights_stats (
    id                      SERIAL    PRIMARY KEY,
    version_key             INTEGER,
    netuid                  INTEGER,
    validator_hotkey        TEXT,
    created_at              TIMESTAMP,
    node_hotkey             TEXT,
    task                    TEXT,
    average_quality_score   DOUBLE PRECISION,
    metric_bonus            DOUBLE PRECISION,
    combined_quality_score  DOUBLE PRECISION,
    period_score_multiplier DOUBLE PRECISION,
    normalised_period_score DOUBLE PRECISION,
    contender_capacity      DOUBLE PRECISION,
    normalised_net_score    DOUBLE PRECISION
);

CREATE TABLE nodes_weights (
    id               SERIAL    PRIMARY KEY,
    version_key      INTEGER,
    netuid           INTEGER,
    validator_hotkey TEXT,
    created_at       TIMESTAMP,
    node_hotkey      TEXT,
    node_weight      DOUBLE PRECISION
);
