"""One cell, from starting weights to a stored row."""
