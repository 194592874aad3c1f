FROM ratings_with()
