"""The policy: its files, its layout of rows, its log-probs and its reference."""
