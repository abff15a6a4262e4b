"""Public sets, one a file."""
