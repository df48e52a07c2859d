"""Benchmarks: figures side by side in one run, as ratios. Run by `make bench`; nothing here is a test."""
