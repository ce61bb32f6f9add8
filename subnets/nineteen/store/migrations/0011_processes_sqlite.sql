-- Processes that send requests to miners, among which the market's limits are divided. Each one changes its row once per
-- second.

CREATE TABLE query_process (
    process    TEXT    NOT NULL PRIMARY KEY,
    heartbeats INTEGER NOT NULL,
    serves     INTEGER NOT NULL
) STRICT;
