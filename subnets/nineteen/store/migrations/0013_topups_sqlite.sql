-- Credits for TAO that buyers send to the deposit addresses of their keys.

-- One row: the settings, and the last finalized block whose transfers are recorded.
CREATE TABLE topup (
    number         INTEGER NOT NULL PRIMARY KEY,
    -- Hash of the chain's genesis block.
    genesis        TEXT    NOT NULL,
    -- Account whose derivative accounts are the deposit addresses.
    account        TEXT    NOT NULL,
    rao_per_credit INTEGER NOT NULL,
    -- 1 while the validator credits transfers.
    enabled        INTEGER NOT NULL,
    block          INTEGER NOT NULL,
    block_hash     TEXT    NOT NULL
) STRICT;

CREATE TABLE deposit_address (
    address TEXT    NOT NULL PRIMARY KEY,
    key_id  TEXT    NOT NULL REFERENCES api_key (id),
    -- Account of which the address is a derivative, and its index.
    account TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    UNIQUE (account, number),
    UNIQUE (account, key_id)
) STRICT;

-- Transfers in finalized blocks: one row for each event, so that none is credited twice.
CREATE TABLE deposit (
    block_hash     TEXT    NOT NULL,
    event          INTEGER NOT NULL,
    block          INTEGER NOT NULL,
    sender         TEXT    NOT NULL,
    address        TEXT    NOT NULL,
    rao            INTEGER NOT NULL,
    rao_per_credit INTEGER NOT NULL,
    -- Null, with 0 credits, if the transfer belongs to no active key.
    key_id         TEXT    REFERENCES api_key (id),
    credits        INTEGER NOT NULL,
    recorded_ms    INTEGER NOT NULL,
    -- When the credits were granted; null without a key.
    credited_ms    INTEGER,
    PRIMARY KEY (block_hash, event)
) STRICT;

CREATE INDEX deposit_key ON deposit (key_id, block, event);
