-- Rate limits that hold over several gateways: the requests of each API key that were admitted in the last minute.

CREATE TABLE rate (
    key_id   TEXT   NOT NULL REFERENCES api_key (id),
    -- Seconds since 1970.
    second   BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (key_id, second)
);
