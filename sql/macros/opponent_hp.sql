-- HP that the opponent has at the last of `states`, in whole Pokémon (six unhurt ones are 6.0), as far as a side has seen
-- it. A Pokémon has the HP of its last sighting, or none if the opponent had one Pokémon less at the next state and the next
-- active one has HP; an unseen one is unhurt.
--   states: {opponent_species, opponent_hp, opponents_left}[], all states of the side so far
CREATE MACRO opponent_hp(states) AS list_transform(
    [{
        'last': states[-1],
        'seen': list_distinct(list_transform(states, lambda state: state.opponent_species)),
        'backwards': list_reverse(list_zip(states, states[2:]))
    }],
    lambda known: round(
        greatest(
            known.last.opponent_hp,
            least(
                greatest(6 - len(known.seen), 0) + list_sum(list_transform(known.seen, lambda species: list_transform(
                    list_filter(known.backwards, lambda two: two[1].opponent_species = species)[:1],
                    lambda two: CASE
                        WHEN two[2].opponents_left < two[1].opponents_left AND two[2].opponent_hp > 0 THEN 0
                        ELSE two[1].opponent_hp
                    END
                )[1])),
                known.last.opponent_hp + known.last.opponents_left - (known.last.opponent_hp > 0)::INTEGER
            )
        ),
        6
    )
)[1]
