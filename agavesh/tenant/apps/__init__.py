"""Apps: their records, what a request for one must hold, and their bundles of files. Running one is a job (`jobs`)."""
