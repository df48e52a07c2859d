"""Agave v2 from a terminal: the contract, the client, the tree, the shell and an embedded tenant."""

__version__ = "0.1.0"
