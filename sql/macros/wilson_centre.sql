-- Middle of the Wilson interval.
CREATE MACRO wilson_centre(score, games) AS
    (score + pow(z95(), 2) / (2 * games)) / (1 + pow(z95(), 2) / games)
