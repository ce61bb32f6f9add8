-- Tasks and rules of each period (JSON), for the processes that follow the validator.

CREATE TABLE period_config (
    period_id BIGINT NOT NULL PRIMARY KEY REFERENCES period (id),
    config    TEXT   NOT NULL
);
