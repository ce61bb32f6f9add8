-- Number of concurrent requests that the miner announces, over all its tasks; null if it announces none.

ALTER TABLE contender ADD COLUMN concurrency BIGINT;
