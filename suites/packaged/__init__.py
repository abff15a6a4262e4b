"""Suites that packages bring along or that are made here."""
