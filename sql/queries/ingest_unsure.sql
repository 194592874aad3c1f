-- Points of view that may be of a battle that another one is of as well, and that are kept apart because that is not
-- certain: their number, and the players of one. Names, results and time fit, but nothing else, or several fit; or both
-- players' logs are there and do not mirror each other. Reads places.
SELECT count(*) AS points, any_value(this.player) AS player, any_value(this.opponent) AS opponent
FROM places AS this
WHERE
    alone
    AND EXISTS (
        FROM places AS that
        WHERE
            that.alone
            AND that.format = this.format
            AND that.player = this.opponent
            AND that.opponent = this.player
            AND NOT (this.result = 'WIN' AND that.result = 'WIN')
            AND (
                (this.log IS NOT NULL AND that.log IS NOT NULL)
                OR coalesce(abs(epoch(this.played_at) - epoch(that.played_at)) <= 60, TRUE)
            )
    )
