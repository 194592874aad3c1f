-- The negative matrix of second derivatives of the Bradley–Terry log likelihood (see ratings_with) by strength. Without a
-- prior it is singular, since all ratings can move together: 1 / agents is added to all elements, which fixes their sum.
-- Weights and their sums are computed first, once each.
CREATE MACRO information(games, strengths, prior) AS list_transform(
    list_transform(
        list_transform(games, lambda row, number: list_transform(row, lambda count, other:
            count * logistic(strengths[other] - strengths[number]) * logistic(strengths[number] - strengths[other])
        )),
        lambda row, number: {
            'weights': row,
            'total': list_sum(row) + prior * logistic(strengths[number]) * logistic(-strengths[number]),
            'number': number
        }
    ),
    lambda line: list_transform(line.weights, lambda weight, other:
        CASE WHEN line.number = other THEN line.total ELSE -weight END
        + CASE WHEN prior = 0 THEN 1 / len(line.weights) ELSE 0 END
    )
)
