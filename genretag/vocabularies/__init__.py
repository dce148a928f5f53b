"""Ready-made vocabularies: a compact tree of genres."""
