-- Half the width of the Wilson interval.
CREATE MACRO wilson_half_width(score, games) AS
    sqrt(3.8414588206941254 * (score * (1 - score) / games + 3.8414588206941254 / (4 * games * games)))
    / (1 + 3.8414588206941254 / games)
