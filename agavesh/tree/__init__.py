"""The tree: what there is to see, as the shell walks it and the mount shows it."""
