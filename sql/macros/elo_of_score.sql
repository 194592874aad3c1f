-- The Elo difference of a mean score between 0 and 1; NULL outside.
CREATE MACRO elo_of_score(score) AS CASE WHEN score > 0 AND score < 1 THEN 400 * log10(score / (1 - score)) END
