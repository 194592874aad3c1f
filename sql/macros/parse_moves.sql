-- A JSON array of metamon's moves as a list of structs.
CREATE MACRO parse_moves(moves) AS from_json(moves, '[{' || move_fields() || '}]')
