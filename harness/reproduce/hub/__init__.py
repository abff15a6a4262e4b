"""Recipes that need a GPU and the hub."""
