-- A share of HP as the opponent sees it: in hundredths rounded up, and 99 unless it is all.
CREATE MACRO hundredths(share) AS CASE
    WHEN share = 1 THEN 100
    ELSE least(ceil(round(100 * share, 6)), 99)
END::INTEGER
