-- A JSON array of metamon's Pokémon as a list of structs; the fields are those of Pokemon in pokeladder.trajectories.states.
CREATE MACRO parse_pokemon(pokemon) AS from_json(pokemon, '[{
    "name": "VARCHAR", "hp_pct": "DOUBLE", "types": "VARCHAR", "item": "VARCHAR", "ability": "VARCHAR", "lvl": "INTEGER",
    "status": "VARCHAR", "effect": "VARCHAR", "moves": [{' || move_fields() || '}],
    "atk_boost": "INTEGER", "spa_boost": "INTEGER", "def_boost": "INTEGER", "spd_boost": "INTEGER",
    "spe_boost": "INTEGER", "accuracy_boost": "INTEGER", "evasion_boost": "INTEGER",
    "base_atk": "INTEGER", "base_spa": "INTEGER", "base_def": "INTEGER", "base_spd": "INTEGER",
    "base_spe": "INTEGER", "base_hp": "INTEGER",
    "tera_type": "VARCHAR", "base_species": "VARCHAR"
}]')
