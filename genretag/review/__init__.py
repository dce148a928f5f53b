"""Let a person decide the unsure tracks."""
