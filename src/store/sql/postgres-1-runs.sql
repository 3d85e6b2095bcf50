-- Runs, their labels and removals. Nothing is ever changed or deleted: triggers see to it.
-- Times are microseconds since 1970.

CREATE TABLE kubetoll.runs (
    key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL UNIQUE CHECK (id <> ''),
    at BIGINT NOT NULL,
    origin TEXT NOT NULL,
    valid BOOLEAN NOT NULL,
    document TEXT NOT NULL, -- the run as JSON
    record BYTEA, -- its raw record, gzipped JSON
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX runs_at ON kubetoll.runs (at, id);

-- The latest label of a name holds.
CREATE TABLE kubetoll.labels (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run BIGINT NOT NULL REFERENCES kubetoll.runs (key),
    name TEXT NOT NULL,
    value TEXT, -- NULL takes the label away
    given BIGINT -- NULL for the labels that the run was appended with
);
CREATE INDEX labels_run ON kubetoll.labels (run, name, seq);

-- The latest entry holds.
CREATE TABLE kubetoll.removals (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run BIGINT NOT NULL REFERENCES kubetoll.runs (key),
    removed BOOLEAN NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX removals_run ON kubetoll.removals (run, seq);

CREATE VIEW kubetoll.present AS
SELECT
    run.*,
    (
        SELECT json_agg(json_build_array(label.name, label.value) ORDER BY label.seq)::text
        FROM kubetoll.labels AS label
        WHERE label.run = run.key AND label.given IS NOT NULL
    ) AS relabelled,
    coalesce(
        (
            SELECT removal.removed
            FROM kubetoll.removals AS removal
            WHERE removal.run = run.key
            ORDER BY removal.seq DESC
            LIMIT 1
        ),
        false
    ) AS removed
FROM kubetoll.runs AS run;

CREATE FUNCTION kubetoll.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the history is append-only'; END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kubetoll.runs
FOR EACH STATEMENT EXECUTE FUNCTION kubetoll.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kubetoll.labels
FOR EACH STATEMENT EXECUTE FUNCTION kubetoll.refuse();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kubetoll.removals
FOR EACH STATEMENT EXECUTE FUNCTION kubetoll.refuse();
