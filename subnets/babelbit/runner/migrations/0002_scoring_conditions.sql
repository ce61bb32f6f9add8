-- Under which conditions scores came about; a score names its row by the SHA-256 of the conditions.
CREATE TABLE scoring_conditions (
    sha256     TEXT PRIMARY KEY,
    -- Recogniser, embedder, options and program (JSON).
    conditions TEXT NOT NULL
) STRICT, WITHOUT ROWID;
