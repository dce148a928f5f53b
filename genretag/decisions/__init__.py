"""Plain rules: votes, policies, plans, albums, vocabularies, players. No files, no databases."""
