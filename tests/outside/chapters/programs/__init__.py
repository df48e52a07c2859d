"""Programs that actors are made of: the test puts AgavePy's Python in front of each, and it runs as it is."""
