-- Weight of the key in the queue of buyers' requests.

ALTER TABLE api_key ADD COLUMN weight BIGINT NOT NULL DEFAULT 1;
