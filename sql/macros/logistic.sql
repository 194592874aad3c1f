-- The logistic function: the probability of odds of e to the power of x.
CREATE MACRO logistic(x) AS 1 / (1 + exp(-x))
