"""Ready-made vocabularies: a compact tree of genres, and words in other languages."""
