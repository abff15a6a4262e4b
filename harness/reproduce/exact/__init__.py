"""Recipes that need no model: published numbers computed again."""
