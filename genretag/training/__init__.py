"""Teaching genretag a user's own folders: labelled tracks -> an honest split -> a model file. A scan never imports this."""
