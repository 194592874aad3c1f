-- Non-transitive triples, one row each: first beats second, second beats third, and third beats first, by their mean scores
-- against each other.
--
-- format: the battle format
-- first, second, third: agents; first is the first of them by name
-- first_win_rate, second_win_rate, third_win_rate: against the next one
-- los: the least likelihood of superiority of the three
WITH wins AS MATERIALIZED (
    SELECT format, agent, opponent, win_rate, los
    FROM matchups
    WHERE win_rate > 0.5
)

SELECT
    format,
    one.agent AS first,
    two.agent AS second,
    three.agent AS third,
    one.win_rate AS first_win_rate,
    two.win_rate AS second_win_rate,
    three.win_rate AS third_win_rate,
    least(one.los, two.los, three.los) AS los
FROM wins AS one
JOIN wins AS two USING (format)
JOIN wins AS three USING (format)
WHERE two.agent = one.opponent
    AND three.agent = two.opponent
    AND three.opponent = one.agent
    AND one.agent < two.agent
    AND one.agent < three.agent
ORDER BY format, los DESC, first, second, third
