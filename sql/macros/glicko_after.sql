-- A rating and its deviation after a game against another's, as {rating, deviation}: glicko_update for one game, written
-- out, with deviations as Showdown bounds them.
CREATE MACRO glicko_after(own, other, score) AS list_transform(
    list_transform(
        [{
            'weight': glicko_attenuation(other.deviation) / elo_unit(),
            'chance': win_chance(glicko_attenuation(other.deviation) * (own.rating - other.rating))
        }],
        lambda met: {
            'information': 1 / pow(own.deviation, 2) + pow(met.weight, 2) * met.chance * (1 - met.chance),
            'gain': met.weight * (score - met.chance)
        }
    ),
    lambda period: {
        'rating': own.rating + period.gain / period.information,
        'deviation': least(greatest(1 / sqrt(period.information), 25), 130)
    }
)[1]
