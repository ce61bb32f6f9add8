-- Teams of API keys, with budgets that their keys share.

CREATE TABLE team (
    name           TEXT NOT NULL PRIMARY KEY,
    -- Most credits of all keys together in a calendar month and in a day (UTC); null is no limit.
    monthly_budget BIGINT,
    daily_budget   BIGINT
);

-- Null is no team.
ALTER TABLE api_key ADD COLUMN team TEXT REFERENCES team (name);
CREATE INDEX api_key_team ON api_key (team);

-- Credits charged to the keys of each team by day: those of a key count for the team to which it belonged at the time.
CREATE TABLE team_day (
    team    TEXT   NOT NULL REFERENCES team (name),
    day     TEXT   NOT NULL,
    charged BIGINT NOT NULL,
    PRIMARY KEY (team, day)
);

-- The reserves of a team's keys are summed for each hold.
CREATE INDEX hold_key ON hold (key_id);
