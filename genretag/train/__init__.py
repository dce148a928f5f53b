"""Teaching: from labelled music to a model file. A scan never imports this."""
