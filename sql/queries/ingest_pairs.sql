-- The two perspectives of one battle, one row for each pair of ids in all_perspectives. In sets of human replays they are
-- matched by the battle's id; otherwise by names, results, time (one minute) and content; otherwise, if both players'
-- logs mirror each other row by row, by their positions. Ambiguous pairs are dropped.
-- Two joins on equal values are used: players who have met a thousand times would make a million candidate pairs.
WITH fitting AS (
    SELECT this.id, that.id AS other_id
    FROM all_perspectives AS this
    JOIN all_perspectives AS that
        ON
            that.format = this.format
            AND as_exported(that.player) = as_exported(this.opponent)
            AND as_exported(that.opponent) = as_exported(this.player)
            AND that.record = this.record
            AND that.result <> this.result
    WHERE NOT this.whole AND NOT that.whole AND NOT regexp_full_match(this.record, '\d{10}')
    UNION ALL
    SELECT this.id, that.id
    FROM all_perspectives AS this
    JOIN all_perspectives AS that
        ON
            that.format = this.format
            AND as_exported(that.player) = as_exported(this.opponent)
            AND as_exported(that.opponent) = as_exported(this.player)
            AND that.other_signature = this.own_signature
            AND (that.result <> this.result OR this.result = 'TIE')
            AND abs(epoch(this.played_at) - epoch(that.played_at)) <= 60
    WHERE
        NOT this.whole
        AND NOT that.whole
        AND regexp_full_match(this.record, '\d{10}')
        AND regexp_full_match(that.record, '\d{10}')
),

-- Each pair in both orders, so that one count shows whether it is unique.
candidates AS (
    SELECT *, count(*) OVER (PARTITION BY id) AS choices
    FROM fitting
    WHERE id <> other_id
),

by_content AS (
    SELECT this.id, this.other_id
    FROM candidates AS this
    JOIN candidates AS that ON that.id = this.other_id AND that.other_id = this.id
    WHERE this.choices = 1 AND that.choices = 1
),

-- Rows of a player's log, from this and earlier ingests; for players without a log their trajectories by time.
ordered AS (
    SELECT
        all_perspectives.*,
        by_content.other_id,
        bool_and(log IS NOT NULL) OVER players AS logged,
        bool_and(log IS NULL AND regexp_full_match(record, '\d{10}')) OVER players
        AND count(DISTINCT played_at) OVER players = count(*) OVER players AS timed
    FROM all_perspectives
    LEFT JOIN by_content USING (id)
    WINDOW players AS (PARTITION BY format, player, opponent)
),

numbered AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY format, player, opponent
            ORDER BY if(timed, NULL, taken_in) NULLS LAST, log, line, played_at, id
        ) AS place,
        count(*) OVER (PARTITION BY format, player, opponent) AS games
    FROM ordered
    WHERE logged OR timed
),

mirrored AS (
    SELECT
        this.id,
        that.id AS other_id,
        -- Steps of the sides differ by forced switches, at most a dozen.
        bool_and(
            ((this.result = 'WIN') <> (that.result = 'WIN') OR (this.result <> 'WIN' AND that.result <> 'WIN'))
            AND abs(this.steps - that.steps) <= 12
            AND coalesce(this.other_id = that.id, TRUE)
            AND coalesce(that.other_id = this.id, TRUE)
            AND (NOT this.whole OR coalesce(that.battle_id = this.battle_id, FALSE))
            AND (NOT that.whole OR coalesce(that.battle_id = this.battle_id, FALSE))
        ) OVER (PARTITION BY this.format, this.player, this.opponent) AS agree
    FROM numbered AS this
    JOIN numbered AS that
        ON
            that.format = this.format
            AND that.player = this.opponent
            AND that.opponent = this.player
            AND that.place = this.place
            AND that.games = this.games
            AND (this.logged OR that.logged)
    WHERE this.player < that.player
)

SELECT least(id, other_id) AS id, greatest(id, other_id) AS other_id
FROM by_content
UNION
SELECT least(id, other_id), greatest(id, other_id)
FROM mirrored
WHERE agree
