"""What is measured on a trained policy."""
