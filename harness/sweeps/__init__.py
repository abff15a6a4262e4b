"""Many cells, in stages: a grid, a search, its confirmation."""
