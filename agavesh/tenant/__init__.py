"""The embedded tenant: a small platform of one's own, with the paths, answers and errors of Agave v2."""
