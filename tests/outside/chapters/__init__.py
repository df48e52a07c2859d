"""A story told by AgavePy 0.9.5: what its users do at a tenant, service by service, until every operation was called.

It runs under AgavePy's own Python, `python -m tests.outside.chapters`, imports nothing of ours, and changes nothing of
AgavePy's. Each chapter writes down what it saw; `test_agavepy_all.py` judges it.
"""
