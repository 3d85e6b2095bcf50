-- Runs that are not removed: 1 with the raw record, 2 since, 3 until, 4 labels, 5 origins.
SELECT id, document, CASE WHEN $1::boolean THEN record END, hash, relabelled, removed
FROM kubetoll.present
WHERE ($2::bigint IS NULL OR at >= $2)
    AND ($3::bigint IS NULL OR at < $3)
    AND NOT EXISTS (
        SELECT 1
        FROM json_each_text($4::text::json) AS wanted
        WHERE wanted.value <> coalesce(
            (
                SELECT label.value
                FROM kubetoll.labels AS label
                WHERE label.run = present.key AND label.name = wanted.key
                ORDER BY label.seq DESC
                LIMIT 1
            ),
            ''
        )
    )
    AND (
        json_array_length($5::text::json) = 0
        OR origin IN (SELECT json_array_elements_text($5::text::json))
    )
    AND NOT removed
ORDER BY at, id
