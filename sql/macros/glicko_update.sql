-- Glicko-1 (Glickman 1999): a rating and its deviation after one rating period, as {rating, deviation}.
--   games: STRUCT(rating, deviation, score)[], the opponents as they were before, and the results against them
CREATE MACRO glicko_update(rating, deviation, games) AS list_transform(
    [{
        'information': 1 / pow(deviation, 2) + list_sum(list_transform(games, lambda game:
            pow(glicko_attenuation(game.deviation) / elo_unit(), 2)
            * win_chance(glicko_attenuation(game.deviation) * (rating - game.rating))
            * win_chance(glicko_attenuation(game.deviation) * (game.rating - rating))
        )),
        'gain': 1 / elo_unit() * list_sum(list_transform(games, lambda game:
            glicko_attenuation(game.deviation)
            * (game.score - win_chance(glicko_attenuation(game.deviation) * (rating - game.rating)))
        ))
    }],
    lambda period: {'rating': rating + period.gain / period.information, 'deviation': 1 / sqrt(period.information)}
)[1]
