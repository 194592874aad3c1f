-- The logistic function: the chance that odds of e to the power of x make.
CREATE MACRO logistic(x) AS 1 / (1 + exp(-x))
