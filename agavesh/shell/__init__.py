"""The first door: a shell on the tree, for people at a prompt and for scripts."""
