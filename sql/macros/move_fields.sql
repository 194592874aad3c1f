-- The fields of a move in metamon's state and their types, for from_json; as Move in pokeladder.trajectories.states.
CREATE MACRO move_fields() AS '"name": "VARCHAR", "move_type": "VARCHAR", "category": "VARCHAR", "base_power": "INTEGER",
    "accuracy": "DOUBLE", "priority": "INTEGER", "current_pp": "INTEGER", "max_pp": "INTEGER"'
