"""Recipes that train the packaged model."""
