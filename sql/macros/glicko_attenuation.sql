-- Glicko's g(RD): the factor by which a result counts less because of the deviation of the opponent's rating.
CREATE MACRO glicko_attenuation(deviation) AS 1 / sqrt(1 + 3 * pow(deviation / elo_unit() / pi(), 2))
