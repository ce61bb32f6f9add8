-- Expiry of keys, and budgets of a day.

-- Milliseconds since 1970; null is never.
ALTER TABLE api_key ADD COLUMN expires_ms INTEGER;
-- Most credits a day (UTC); null is no limit.
ALTER TABLE api_key ADD COLUMN daily_budget INTEGER;
