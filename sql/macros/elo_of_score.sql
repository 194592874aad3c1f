-- The Elo difference that makes a mean score between 0 and 1; NULL at and beyond these.
CREATE MACRO elo_of_score(score) AS CASE WHEN score > 0 AND score < 1 THEN 400 * log10(score / (1 - score)) END
