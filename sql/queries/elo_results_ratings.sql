-- The document of elo_results_ratings.json as one JSON value:
-- {k_factor, initial_rating, ratings: {name: {elo, rank}}}, best agent first.
-- Takes $k and $initial. The file has no formats, so all battles must have one: an agent with ratings in two formats is
-- an error, a duplicate key.
SELECT
    json_pretty(to_json({
        'k_factor': $k,
        'initial_rating': $initial,
        'ratings': map_from_entries(
            coalesce(list((agent, {'elo': elo, 'rank': rank}) ORDER BY rank, agent), [])
        )
    })) AS document
FROM elo_with(k := $k, initial := $initial)
