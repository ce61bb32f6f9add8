-- All neurons of the subnet, with and without an axon, from the refresh at which the list changed until the next
-- change.

CREATE TABLE registered (
    since_ms INTEGER NOT NULL,
    uid      INTEGER NOT NULL,
    hotkey   TEXT    NOT NULL,
    PRIMARY KEY (since_ms, uid)
) STRICT;

-- From now on, a registered hotkey that is no longer a miner keeps its row, with an empty host. The next refresh is due
-- at once.
UPDATE node SET seen_ms = 0;
