"""agavefs: the tree as a FUSE filesystem."""
