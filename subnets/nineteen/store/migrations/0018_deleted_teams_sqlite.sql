-- Time of deletion, in milliseconds since the Unix epoch. The charges of a deleted team are kept.

ALTER TABLE team ADD COLUMN deleted_ms INTEGER;
