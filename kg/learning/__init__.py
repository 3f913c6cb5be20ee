"""Learning genres: training, what a model says and how sure it is, and keeping it up to date."""
