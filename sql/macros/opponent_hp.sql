-- What the opponent has left at the last of `states`, in whole Pokémon (six unhurt ones are 6.0), as far as a side has seen it: a
-- Pokémon that is not active has the HP with which it was last seen, and an unseen one is unhurt.
--   states: {opponent_species, opponent_hp, opponents_left}[], all states of the side so far
CREATE MACRO opponent_hp(states) AS list_transform(
    [{
        'last': states[-1],
        'seen': list_distinct(list_transform(states, lambda state: state.opponent_species)),
        'backwards': list_reverse(states),
        'fainted': list_transform(
            list_filter(list_zip(states[:-2], states[2:]), lambda two: two[2].opponents_left < two[1].opponents_left),
            lambda two: CASE WHEN two[2].opponent_hp = 0 THEN two[2].opponent_species ELSE two[1].opponent_species END
        )
    }],
    lambda known: round(
        greatest(
            known.last.opponent_hp,
            least(
                greatest(6 - len(known.seen), 0) + list_sum(list_transform(known.seen, lambda species: CASE
                    WHEN list_contains(known.fainted, species) THEN 0
                    ELSE list_filter(known.backwards, lambda state: state.opponent_species = species)[1].opponent_hp
                END)),
                known.last.opponent_hp + known.last.opponents_left - (known.last.opponent_hp > 0)::INTEGER
            )
        ),
        6
    )
)[1]
