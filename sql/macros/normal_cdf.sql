-- The standard normal distribution function, accurate to 1e-13 (power series of Marsaglia 2004); 0 or 1 beyond 8.
CREATE MACRO normal_cdf(x) AS CASE
    WHEN abs(x) > 8 THEN (x > 0)::INTEGER::DOUBLE
    ELSE 0.5 + x * exp(-x * x / 2) / sqrt(8) * list_sum(
        list_transform(range(150), lambda power: pow(x * x / 2, power) * exp(-lgamma(power + 1.5)))
    )
END
