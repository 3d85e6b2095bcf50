-- Runs that are not removed: 1 with the raw record, 2 since, 3 until, 4 labels, 5 origins.
SELECT id, document, iif(?1, record, NULL), hash, relabelled, removed
FROM present
WHERE (?2 IS NULL OR at >= ?2)
    AND (?3 IS NULL OR at < ?3)
    AND NOT EXISTS (
        SELECT 1
        FROM json_each(?4) AS wanted
        WHERE wanted.value <> coalesce(
            (
                SELECT label.value
                FROM labels AS label
                WHERE label.run = present.key AND label.name = wanted.key
                ORDER BY label.seq DESC
                LIMIT 1
            ),
            ''
        )
    )
    AND (json_array_length(?5) = 0 OR origin IN (SELECT origins.value FROM json_each(?5) AS origins))
    AND NOT removed
ORDER BY at, id
