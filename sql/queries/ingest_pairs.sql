-- The two points of view of one battle, one row a pair, `left_*` being the one whose player sorts first: by the game's
-- id in sets of human replays; else by names, results, time (a minute) and content; else, where both players' logs
-- mirror each other row by row, by their place in them. A pair of which either could belong to another one is none.
-- Reads points and known_points.
WITH all_points AS (
    SELECT format, player, record, opponent, result, steps, name, played_at, own_signature, other_signature, log, line
    FROM points
    UNION ALL
    SELECT format, player, record, opponent, result, steps, name, played_at, own_signature, other_signature, NULL, NULL
    FROM known_points
    ANTI JOIN points USING (format, player, record)
),

-- Two joins on equal values: players who have met a thousand times would make a million pairs to look through.
fitting AS (
    SELECT this.format, this.player, this.record, that.player AS other_player, that.record AS other_record
    FROM all_points AS this
    JOIN all_points AS that
        ON
            that.format = this.format
            AND that.player = this.opponent
            AND that.opponent = this.player
            AND that.record = this.record
            AND that.result <> this.result
    WHERE NOT regexp_full_match(this.record, '\d{10}')
    UNION ALL
    SELECT this.format, this.player, this.record, that.player, that.record
    FROM all_points AS this
    JOIN all_points AS that
        ON
            that.format = this.format
            AND that.player = this.opponent
            AND that.opponent = this.player
            AND that.other_signature = this.own_signature
            AND (that.result <> this.result OR this.result = 'TIE')
            AND abs(epoch(this.played_at) - epoch(that.played_at)) <= 60
    WHERE regexp_full_match(this.record, '\d{10}') AND regexp_full_match(that.record, '\d{10}')
),

-- In either order of players, so that uniqueness is one count.
candidates AS (
    SELECT *, count(*) OVER (PARTITION BY format, player, record) AS choices
    FROM fitting
    WHERE player <> other_player
),

by_content AS (
    SELECT this.*
    FROM candidates AS this
    JOIN candidates AS that
        ON
            that.format = this.format
            AND that.player = this.other_player
            AND that.record = this.other_record
            AND that.other_player = this.player
            AND that.other_record = this.record
    WHERE this.choices = 1 AND that.choices = 1 AND this.player < this.other_player
),

-- A player's log, or what the store has of an earlier one: its battle ids keep the order of rows.
placed AS (
    SELECT format, player, opponent, record, result, steps, log, line, '' AS battle_id
    FROM points
    WHERE log IS NOT NULL
    UNION ALL
    SELECT format, player, opponent, record, result, steps, '' AS log, 0 AS line, battle_id
    FROM known_points
    ANTI JOIN (SELECT DISTINCT format, player, opponent FROM points WHERE log IS NOT NULL)
        USING (format, player, opponent)
),

numbered AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY format, player, opponent ORDER BY log, line, battle_id) AS place,
        count(*) OVER (PARTITION BY format, player, opponent) AS games
    FROM placed
),

mirrored AS (
    SELECT
        this.format,
        this.player,
        this.record,
        that.player AS other_player,
        that.record AS other_record,
        -- Sides differ in the switches that they are forced to, a dozen at most.
        bool_and(
            ((this.result = 'WIN') <> (that.result = 'WIN') OR (this.result <> 'WIN' AND that.result <> 'WIN'))
            AND abs(this.steps - that.steps) <= 12
            AND coalesce(content.other_record = that.record, TRUE)
            AND coalesce(reverse.record = this.record, TRUE)
        ) OVER (PARTITION BY this.format, this.player, this.opponent) AS agree
    FROM numbered AS this
    JOIN numbered AS that
        ON
            that.format = this.format
            AND that.player = this.opponent
            AND that.opponent = this.player
            AND that.place = this.place
            AND that.games = this.games
    LEFT JOIN by_content AS content
        ON content.format = this.format AND content.player = this.player AND content.record = this.record
    LEFT JOIN by_content AS reverse
        ON
            reverse.format = this.format
            AND reverse.other_player = that.player
            AND reverse.other_record = that.record
    WHERE this.player < that.player
),

paired AS (
    SELECT format, player, record, other_player, other_record
    FROM by_content
    UNION
    SELECT format, player, record, other_player, other_record
    FROM mirrored
    WHERE agree
)

SELECT
    format,
    player AS left_player,
    record AS left_record,
    other_player AS right_player,
    other_record AS right_record
FROM paired
