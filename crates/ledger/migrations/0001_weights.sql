-- Weights that a validator means to submit, and every extrinsic that was signed for them.

-- At most one for each hotkey, subnet, mechanism and epoch of a chain: the row is written before anything is signed.
CREATE TABLE intent (
    id            INTEGER PRIMARY KEY,
    -- Hash of the chain's block 0.
    genesis       TEXT    NOT NULL,
    hotkey        TEXT    NOT NULL,
    netuid        INTEGER NOT NULL,
    mech          INTEGER NOT NULL,
    epoch         INTEGER NOT NULL,
    -- A block that was final when the row was written: a chain without it is another one, or was begun anew.
    anchor_number INTEGER NOT NULL,
    anchor_hash   TEXT    NOT NULL,
    -- The block whose state the weights follow from.
    state_block   INTEGER NOT NULL,
    -- How they are submitted (JSON), with what a reveal needs.
    form          TEXT    NOT NULL,
    -- Pairs of uid and weight (JSON).
    weights       TEXT    NOT NULL,
    -- An unsigned 64-bit number, which INTEGER has no room for.
    version_key   TEXT    NOT NULL,
    -- The epoch that the chain counts the commit to, once it is in a block. Only of a commit by hash.
    commit_epoch  INTEGER,
    state         TEXT    NOT NULL CHECK (state IN ('open', 'done', 'missed')),
    UNIQUE (genesis, hotkey, netuid, mech, epoch)
) STRICT;

-- The bytes are stored before they are sent.
CREATE TABLE extrinsic (
    id        INTEGER PRIMARY KEY,
    intent_id INTEGER NOT NULL REFERENCES intent (id),
    step      TEXT    NOT NULL CHECK (step IN ('submit', 'reveal')),
    state     TEXT    NOT NULL CHECK (state IN ('signed', 'sent', 'unknown', 'dropped', 'included', 'finalized', 'failed',
                                                'superseded', 'expired', 'invalid', 'withdrawn', 'lost')),
    hash      TEXT    NOT NULL UNIQUE,
    -- The bytes, nonce and era (JSON).
    signed    TEXT    NOT NULL,
    -- What the chain said last (JSON).
    outcome   TEXT
) STRICT;

-- No second extrinsic beside one that is in the chain or may still come there.
CREATE UNIQUE INDEX one_at_a_time ON extrinsic (intent_id, step)
    WHERE state IN ('signed', 'sent', 'unknown', 'dropped', 'included', 'finalized');
