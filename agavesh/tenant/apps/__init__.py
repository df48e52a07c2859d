"""Apps as records and as bundles of files: what both must hold. Running one is a job: see `jobs`."""
