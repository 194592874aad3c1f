-- The expected score against an agent whose rating is lower by `gap` Elo points: 0.64 for 100, 0.76 for 200.
CREATE MACRO win_chance(gap) AS 1 / (1 + pow(10, -gap / 400))
