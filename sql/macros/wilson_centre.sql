-- Middle of the Wilson interval; 3.8414588206941254 is the square of the 97.5% quantile of the normal distribution.
CREATE MACRO wilson_centre(score, games) AS
    (score + 3.8414588206941254 / (2 * games)) / (1 + 3.8414588206941254 / games)
