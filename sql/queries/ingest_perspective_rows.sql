-- Rows of a file of perspectives in the order of pokeladder.store.rows.Perspective: those of new battles numbered from
-- $begin up to $end and, if $known, those that add to battles of the store. Takes $run and $batch, too. Reads places.
SELECT
    point,
    $run AS run_id,
    coalesce(battle_id, format('{}-{:06d}', $run, number)) AS battle_id,
    coalesce(batch, $batch) AS batch,
    side,
    format,
    player,
    opponent,
    record,
    result,
    steps,
    team_file,
    log,
    line,
    name,
    played_at,
    own_signature,
    other_signature
FROM places
WHERE (number >= $begin AND number < $end) OR ($known AND battle_id IS NOT NULL AND tells)
ORDER BY battle_id, side
