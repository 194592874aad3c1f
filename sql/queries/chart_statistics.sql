-- Rows of the charts of statistics: one for each agent and statistic. The value is NULL where it was not counted; low and
-- high are set where there is an interval.
WITH found AS (
    SELECT *
    FROM statistics
    JOIN internal.agent_order USING (format, agent)
),

listed AS (
    SELECT agent, place, unnest([
        {'number': 1, 'statistic': 'Win rate', 'value': win_rate, 'low': win_rate_low, 'high': win_rate_high},
        {'number': 2, 'statistic': 'Games', 'value': games::DOUBLE, 'low': NULL, 'high': NULL},
        {'number': 3, 'statistic': 'Turns a battle', 'value': avg_turns, 'low': NULL, 'high': NULL},
        {'number': 4, 'statistic': 'Decisions a battle', 'value': avg_steps, 'low': NULL, 'high': NULL},
        {'number': 5, 'statistic': 'Invalid choices', 'value': invalid_rate, 'low': NULL, 'high': NULL},
        {'number': 6, 'statistic': 'Forfeits', 'value': forfeits / games, 'low': NULL, 'high': NULL}
    ], recursive := TRUE)
    FROM found
)

FROM listed
ORDER BY number, place
