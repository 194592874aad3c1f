-- The 95% Wilson interval of a mean score in [0, 1] over a number of games, as {win_rate_low, win_rate_high}.
CREATE MACRO wilson(score, games) AS {
    'win_rate_low': greatest(0, wilson_centre(score, games) - wilson_half_width(score, games)),
    'win_rate_high': least(1, wilson_centre(score, games) + wilson_half_width(score, games))
}
