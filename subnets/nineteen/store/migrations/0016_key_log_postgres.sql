-- Whether the gateway logs the requests of the key.

ALTER TABLE api_key ADD COLUMN log_requests BIGINT NOT NULL DEFAULT 0;
