-- The usage of the last days, of all keys, without that of all other days.

CREATE INDEX usage_by_day ON usage_day (day, key_id);
