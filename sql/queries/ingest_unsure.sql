-- Ambiguous perspectives, which may belong to a battle of another one, and are kept apart: their number, and the players
-- of one. Names and results match and, as far as it is known, time. Reads all_perspectives and pairs.
WITH alone AS (
    SELECT *, floor(epoch(played_at) / 60)::BIGINT AS minute
    FROM all_perspectives
    WHERE NOT whole AND id NOT IN (SELECT id FROM pairs UNION ALL SELECT other_id FROM pairs)
)

SELECT count(*) AS perspectives, any_value(player) AS player, any_value(opponent) AS opponent
FROM alone AS this
WHERE
    point IS NOT NULL
    AND (
        EXISTS (
            FROM alone AS that
            WHERE
                that.format = this.format
                AND as_exported(that.player) = as_exported(this.opponent)
                AND as_exported(that.opponent) = as_exported(this.player)
                AND (this.minute IS NULL OR that.minute IS NULL)
        )
        OR EXISTS (
            FROM (SELECT *, minute + unnest([-1, 0, 1]) AS about FROM alone) AS that
            WHERE
                that.format = this.format
                AND as_exported(that.player) = as_exported(this.opponent)
                AND as_exported(that.opponent) = as_exported(this.player)
                AND that.about = this.minute
                AND abs(epoch(this.played_at) - epoch(that.played_at)) <= 60
                AND NOT (this.result = 'WIN' AND that.result = 'WIN')
        )
    )
