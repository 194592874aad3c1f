-- A JSON array of metamon's moves as a list of structs.
CREATE MACRO parse_moves(moves) AS from_json(moves, '[{
    "name": "VARCHAR", "move_type": "VARCHAR", "category": "VARCHAR", "base_power": "INTEGER", "accuracy": "DOUBLE",
    "priority": "INTEGER", "current_pp": "INTEGER", "max_pp": "INTEGER"
}]')
