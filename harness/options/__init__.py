"""What may be typed: every key, its type, its limits, and the look-up of names."""
