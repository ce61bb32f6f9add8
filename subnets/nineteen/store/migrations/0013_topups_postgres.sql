-- Credits for TAO that buyers send to the deposit addresses of their keys.

-- One row: the settings, and the last finalized block whose transfers are recorded.
CREATE TABLE topup (
    number         BIGINT NOT NULL PRIMARY KEY,
    -- Hash of the chain's genesis block.
    genesis        TEXT   NOT NULL,
    -- Account whose derivative accounts are the deposit addresses.
    account        TEXT   NOT NULL,
    rao_per_credit BIGINT NOT NULL,
    -- 1 while the validator credits transfers.
    enabled        BIGINT NOT NULL,
    block          BIGINT NOT NULL,
    block_hash     TEXT   NOT NULL
);

CREATE TABLE deposit_address (
    address TEXT   NOT NULL PRIMARY KEY,
    key_id  TEXT   NOT NULL REFERENCES api_key (id),
    -- Account of which the address is a derivative, and its index.
    account TEXT   NOT NULL,
    number  BIGINT NOT NULL,
    UNIQUE (account, number),
    UNIQUE (account, key_id)
);

-- Transfers in finalized blocks: one row for each event, so that none is credited twice.
CREATE TABLE deposit (
    block_hash     TEXT   NOT NULL,
    event          BIGINT NOT NULL,
    block          BIGINT NOT NULL,
    sender         TEXT   NOT NULL,
    address        TEXT   NOT NULL,
    rao            BIGINT NOT NULL,
    rao_per_credit BIGINT NOT NULL,
    -- Null, with 0 credits, if the transfer belongs to no active key.
    key_id         TEXT   REFERENCES api_key (id),
    credits        BIGINT NOT NULL,
    recorded_ms    BIGINT NOT NULL,
    -- When the credits were granted; null without a key.
    credited_ms    BIGINT,
    PRIMARY KEY (block_hash, event)
);

CREATE INDEX deposit_key ON deposit (key_id, block, event);
