"""How the bundled model is made: distilled from a teacher on a corpus, judged on folds, bundled with its heads."""
