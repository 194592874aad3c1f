-- Half the width of the Wilson interval.
CREATE MACRO wilson_half_width(score, games) AS
    z95() * sqrt(score * (1 - score) / games + pow(z95() / (2 * games), 2)) / (1 + pow(z95(), 2) / games)
