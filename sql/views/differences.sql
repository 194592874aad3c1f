FROM differences_with()
