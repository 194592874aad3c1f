-- The 97.5% quantile of the normal distribution: half the width of a 95% interval, in standard errors.
CREATE MACRO z95() AS 1.959963984540054
