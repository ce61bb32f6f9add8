-- Rate limits in tokens: those of each API key's requests in the last minute, with several gateways.

-- Most tokens a minute; null is no limit.
ALTER TABLE api_key ADD COLUMN tokens_per_minute INTEGER;

CREATE TABLE token_rate (
    key_id TEXT    NOT NULL REFERENCES api_key (id),
    -- Seconds since 1970.
    second INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (key_id, second)
) STRICT;
