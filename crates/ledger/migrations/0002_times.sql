-- When each intent was stored, and when each extrinsic reached each state, for the operator's page.

ALTER TABLE intent ADD COLUMN intended_unix INTEGER;

CREATE TABLE transition (
    id           INTEGER PRIMARY KEY,
    extrinsic_id INTEGER NOT NULL REFERENCES extrinsic (id),
    state        TEXT    NOT NULL,
    at_unix      INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT;

CREATE INDEX transition_of_extrinsic ON transition (extrinsic_id);

CREATE TRIGGER intent_stored AFTER INSERT ON intent BEGIN
    UPDATE intent SET intended_unix = unixepoch() WHERE id = new.id;
END;

CREATE TRIGGER intent_replaced AFTER UPDATE OF weights ON intent BEGIN
    UPDATE intent SET intended_unix = unixepoch() WHERE id = new.id;
END;

CREATE TRIGGER extrinsic_stored AFTER INSERT ON extrinsic BEGIN
    INSERT INTO transition (extrinsic_id, state) VALUES (new.id, new.state);
END;

CREATE TRIGGER extrinsic_changed AFTER UPDATE OF state ON extrinsic WHEN new.state <> old.state BEGIN
    INSERT INTO transition (extrinsic_id, state) VALUES (new.id, new.state);
END;
