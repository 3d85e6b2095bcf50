-- Changes that somebody knows about. The latest entry of a change holds.

CREATE TABLE kubetoll.acknowledgements (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job TEXT NOT NULL,
    scenario TEXT NOT NULL,
    metric TEXT NOT NULL,
    change_at TEXT NOT NULL, -- RFC 3339
    holds BOOLEAN NOT NULL,
    at BIGINT NOT NULL
);
CREATE INDEX acknowledgements_change
ON kubetoll.acknowledgements (job, scenario, metric, change_at, seq);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kubetoll.acknowledgements
FOR EACH STATEMENT EXECUTE FUNCTION kubetoll.refuse();
