-- Buyers' requests with an Idempotency-Key, for a day: a repeated request gets the first one's answer.

CREATE TABLE idempotent (
    key_id       TEXT   NOT NULL REFERENCES api_key (id),
    -- The header.
    name         TEXT   NOT NULL,
    -- SHA-256 of route and body, in hexadecimal.
    fingerprint  TEXT   NOT NULL,
    -- The answer; null while the request runs.
    content_type TEXT,
    body         TEXT,
    created_ms   BIGINT NOT NULL,
    PRIMARY KEY (key_id, name)
);

CREATE INDEX idempotent_age ON idempotent (created_ms);
