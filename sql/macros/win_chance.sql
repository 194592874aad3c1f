-- What an agent scores on average against one whose rating is this much lower (in Elo): 100 makes 0.64, 200 0.76.
CREATE MACRO win_chance(gap) AS 1 / (1 + pow(10, -gap / 400))
