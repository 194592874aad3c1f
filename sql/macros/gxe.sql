-- Showdown's GXE: the chance in percent to beat a player who has just begun (1500, deviation 130).
CREATE MACRO gxe(rating, deviation) AS
    100 * win_chance((rating - 1500) / sqrt(1 + 1.00724e-5 * (pow(deviation, 2) + pow(130, 2))))
