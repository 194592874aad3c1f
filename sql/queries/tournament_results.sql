-- The document of tournament_results.json as one JSON value for the one run in `battles`: its settings, and the results
-- of each matchup. Takes $run.
WITH settings AS (
    SELECT run_id, format, scheduled, started_at, settings::JSON AS asked, showdown_version, pokeladder_version
    FROM runs
    WHERE run_id = $run
),
matched AS (
    SELECT
        least(p1, p2) AS model1,
        greatest(p1, p2) AS model2,
        count(*) FILTER (outcome <> 'void') AS num_battles,
        count(*) FILTER (CASE winner WHEN 'p1' THEN p1 WHEN 'p2' THEN p2 END = least(p1, p2)) AS wins1,
        count(*) FILTER (CASE winner WHEN 'p1' THEN p1 WHEN 'p2' THEN p2 END = greatest(p1, p2)) AS wins2,
        count(*) FILTER (outcome = 'tie') AS ties,
        count(*) FILTER (outcome = 'void') AS void
    FROM battles
    GROUP BY ALL
)
SELECT
    json_pretty(to_json({
        'models': asked->'$.agents[*].name',
        'battle_format': format,
        'team_set': asked->>'$.team_set',
        'battles_per_matchup': (asked->'$.battles_per_matchup')::INTEGER,
        'seed': asked->'$.seed',
        'run_id': run_id,
        'timestamp': strftime(started_at, '%Y-%m-%dT%H:%M:%SZ'),
        'showdown_version': showdown_version,
        'pokeladder_version': pokeladder_version,
        'matchups': (
            SELECT coalesce(list({
                'model1': model1,
                'model2': model2,
                'status': CASE
                    WHEN num_battles >= (asked->'$.battles_per_matchup')::INTEGER THEN 'success' ELSE 'unfinished'
                END,
                'num_battles': num_battles,
                'wins1': wins1,
                'wins2': wins2,
                'ties': ties,
                'void': void
            } ORDER BY model1, model2), [])
            FROM matched
        )
    })) AS document
FROM settings
