-- Elo points in a natural logarithm of odds.
CREATE MACRO elo_unit() AS 400 / ln(10)
