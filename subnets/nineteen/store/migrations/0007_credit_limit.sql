-- All credits ever granted sum to at most 2^53 - 1. Earlier releases had no limit: credits of a key above it are withdrawn,
-- so that no sum of balances overflows. A sum that has overflowed in SQLite is computed again.

INSERT INTO transfer (id, kind, reference, created_ms)
SELECT -ROW_NUMBER() OVER (ORDER BY name), 'grant', 'credits above the limit are withdrawn',
       (SELECT MAX(created_ms) FROM transfer)
FROM account WHERE name LIKE 'key:%' AND balance > 9007199254740991;

INSERT INTO posting (transfer_id, account, amount)
SELECT -ROW_NUMBER() OVER (ORDER BY name), name, 9007199254740991 - balance
FROM account WHERE name LIKE 'key:%' AND balance > 9007199254740991;

INSERT INTO posting (transfer_id, account, amount)
SELECT -ROW_NUMBER() OVER (ORDER BY name), 'issued', balance - 9007199254740991
FROM account WHERE name LIKE 'key:%' AND balance > 9007199254740991;

UPDATE account SET balance = 9007199254740991 WHERE name LIKE 'key:%' AND balance > 9007199254740991;

-- The upper and lower 32 bits are added separately, because partial sums can exceed 64 bits.
UPDATE account SET balance = COALESCE(
    (SELECT SUM(amount >> 32) * 4294967296 + SUM(amount & 4294967295) FROM posting WHERE posting.account = 'issued'), 0)
WHERE name = 'issued';
