-- Changes that somebody knows about. The latest entry of a change holds.

CREATE TABLE acknowledgements (
    seq INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    scenario TEXT NOT NULL,
    metric TEXT NOT NULL,
    change_at TEXT NOT NULL, -- RFC 3339
    holds INTEGER NOT NULL CHECK (holds IN (0, 1)),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX acknowledgements_change ON acknowledgements (job, scenario, metric, change_at, seq);

CREATE TRIGGER acknowledgements_update BEFORE UPDATE ON acknowledgements
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
CREATE TRIGGER acknowledgements_delete BEFORE DELETE ON acknowledgements
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
