-- Runs, their labels and removals. Nothing is ever changed or deleted: triggers see to it.
-- Times are microseconds since 1970.

CREATE TABLE runs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK (id <> ''),
    at INTEGER NOT NULL,
    origin TEXT NOT NULL,
    valid INTEGER NOT NULL CHECK (valid IN (0, 1)),
    document TEXT NOT NULL CHECK (json_valid(document)), -- the run as JSON
    record BLOB, -- its raw record, gzipped JSON
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX runs_at ON runs (at, id);

-- The latest label of a name holds.
CREATE TABLE labels (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    name TEXT NOT NULL,
    value TEXT, -- NULL takes the label away
    given INTEGER -- NULL for the labels that the run was appended with
) STRICT;
CREATE INDEX labels_run ON labels (run, name, seq);

-- The latest entry holds.
CREATE TABLE removals (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (key),
    removed INTEGER NOT NULL CHECK (removed IN (0, 1)),
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX removals_run ON removals (run, seq);

CREATE VIEW present AS
SELECT
    run.*,
    (
        SELECT json_group_array(json_array(label.name, label.value) ORDER BY label.seq)
        FROM labels AS label
        WHERE label.run = run.key AND label.given IS NOT NULL
    ) AS relabelled,
    coalesce(
        (
            SELECT removal.removed
            FROM removals AS removal
            WHERE removal.run = run.key
            ORDER BY removal.seq DESC
            LIMIT 1
        ),
        0
    ) AS removed
FROM runs AS run;

CREATE TRIGGER runs_update BEFORE UPDATE ON runs
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
CREATE TRIGGER runs_delete BEFORE DELETE ON runs
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
CREATE TRIGGER labels_update BEFORE UPDATE ON labels
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
CREATE TRIGGER labels_delete BEFORE DELETE ON labels
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
CREATE TRIGGER removals_update BEFORE UPDATE ON removals
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
CREATE TRIGGER removals_delete BEFORE DELETE ON removals
BEGIN SELECT raise(ABORT, 'the history is append-only'); END;
