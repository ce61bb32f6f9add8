-- Counters of the open period, by process: several processes send requests to miners. A contender's counters are those
-- of its own row plus the sum of its parts; closing the period adds the parts to the row and deletes them.

CREATE TABLE contender_part (
    period_id      BIGINT           NOT NULL REFERENCES period (id),
    task           TEXT             NOT NULL,
    hotkey         TEXT             NOT NULL,
    -- Random id of the process.
    process        TEXT             NOT NULL,
    sent           DOUBLE PRECISION NOT NULL,
    total_requests DOUBLE PRECISION NOT NULL,
    requests_429   DOUBLE PRECISION NOT NULL,
    requests_500   DOUBLE PRECISION NOT NULL,
    consumed       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (period_id, task, hotkey, process)
);

-- Synthetic requests that a process has sent, or replaced with organic ones; subtracted from the budget's row.
CREATE TABLE budget_part (
    period_id BIGINT NOT NULL REFERENCES period (id),
    task      TEXT   NOT NULL,
    process   TEXT   NOT NULL,
    spent     BIGINT NOT NULL,
    PRIMARY KEY (period_id, task, process)
);

-- Random id of this market, one row: it names the validator's queue in NATS.
CREATE TABLE market (
    number BIGINT NOT NULL PRIMARY KEY,
    id     TEXT   NOT NULL
);
