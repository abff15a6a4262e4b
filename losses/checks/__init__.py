"""What losses are held to: the probe, their cards, and parity with other libraries."""
