"""03: group relative policy optimisation on the cross-view pairing proxy."""
