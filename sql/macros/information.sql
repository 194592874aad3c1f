-- The matrix of second derivatives of minus the Bradley–Terry log likelihood (see ratings_with), by strengths. Without a
-- prior it would be singular, ratings being free to move together: 1 / agents is added to all of it, which fixes their sum.
CREATE MACRO information(games, strengths, prior) AS list_transform(games, lambda row, number: list_transform(row, lambda count, other:
    if(
        number = other,
        list_sum(list_transform(row, lambda counted, place:
            counted * exp(strengths[place] - strengths[number]) / pow(1 + exp(strengths[place] - strengths[number]), 2)
        )) + prior * exp(strengths[number]) / pow(1 + exp(strengths[number]), 2),
        -count * exp(strengths[other] - strengths[number]) / pow(1 + exp(strengths[other] - strengths[number]), 2)
    )
    + if(prior = 0, 1 / len(games), 0)
))
