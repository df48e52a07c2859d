"""The embedded tenant: a small platform of one's own on this machine, with the paths, answers and errors of Agave v2."""
