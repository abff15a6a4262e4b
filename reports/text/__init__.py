"""How numbers and text are written."""
