-- The subject of a report in one line; NULL without rated battles.
SELECT if(
    count(*) = 0,
    NULL,
    printf(
        '%s: %d battles of %d agents, %s to %s UTC',
        any_value(format),
        count(*),
        (SELECT count(DISTINCT agent) FROM results),
        strftime(min(finished_at), '%Y-%m-%d %H:%M'),
        strftime(max(finished_at), '%Y-%m-%d %H:%M')
    )
)
FROM rated_battles
