-- SQLite only: a posting is stored once, in the order of its primary key, instead of in a table and an index. Charges, the
-- most frequent writes, then change one tree less for each posting.

CREATE TABLE posting_by_transfer (
    transfer_id INTEGER NOT NULL REFERENCES transfer (id),
    account     TEXT    NOT NULL REFERENCES account (name),
    amount      INTEGER NOT NULL,
    PRIMARY KEY (transfer_id, account)
) STRICT, WITHOUT ROWID;
INSERT INTO posting_by_transfer SELECT transfer_id, account, amount FROM posting ORDER BY transfer_id, account;
DROP TABLE posting;
ALTER TABLE posting_by_transfer RENAME TO posting;
