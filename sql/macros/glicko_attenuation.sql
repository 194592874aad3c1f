-- How much a result counts less because an opponent's rating is uncertain: Glicko's g(RD).
CREATE MACRO glicko_attenuation(deviation) AS 1 / sqrt(1 + 3 * pow(deviation / elo_unit() / pi(), 2))
