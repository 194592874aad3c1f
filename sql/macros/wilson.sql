-- The 95% Wilson interval of a mean score in [0, 1] over a number of games, as {low, high}.
CREATE MACRO wilson(score, games) AS {
    'low': greatest(0, wilson_centre(score, games) - wilson_half_width(score, games)),
    'high': least(1, wilson_centre(score, games) + wilson_half_width(score, games))
}
