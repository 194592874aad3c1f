-- Solves matrix · x = right_side by Gauss–Jordan elimination without pivoting, which is enough for positive definite
-- matrices. Both arguments and the result are lists of rows.
CREATE MACRO solve_linear(matrix, right_side) AS list_transform(
    list_reduce(
        list_transform(range(1, len(matrix) + 1), lambda number: {'rows': []::DOUBLE[][], 'column': number}),
        lambda state, step: {
            'rows': list_transform(state.rows, lambda values, number: list_transform(values, lambda value, place:
                CASE
                    WHEN number = step.column THEN value
                    ELSE value * state.rows[step.column][step.column] - values[step.column] * state.rows[step.column][place]
                END
                / state.rows[step.column][step.column]
            )),
            'column': 0
        },
        {'rows': list_transform(matrix, lambda values, number: list_concat(values, right_side[number])), 'column': 0}
    ).rows,
    lambda values: values[len(matrix) + 1:]
)
