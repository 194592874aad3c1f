-- What summaries need to know of a trajectory's document; raises if it is no JSON.
CREATE MACRO parse_trajectory(document) AS from_json(document, '{
    "states": [{
        "format": "VARCHAR",
        "player_active_pokemon": {
            "name": "VARCHAR", "hp_pct": "DOUBLE", "status": "VARCHAR", "moves": [{"current_pp": "INTEGER"}],
            "base_species": "VARCHAR"
        },
        "opponent_active_pokemon":
            {"name": "VARCHAR", "hp_pct": "DOUBLE", "status": "VARCHAR", "base_species": "VARCHAR"},
        "available_switches": "JSON",
        "player_prev_move": {"name": "VARCHAR"},
        "opponent_prev_move": {"name": "VARCHAR"},
        "opponents_remaining": "INTEGER",
        "forced_switch": "BOOLEAN",
        "battle_won": "BOOLEAN",
        "battle_lost": "BOOLEAN",
        "can_tera": "BOOLEAN"
    }],
    "actions": ["INTEGER"]
}')
