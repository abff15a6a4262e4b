"""The folder of a cell: written, locked, read, verified."""
