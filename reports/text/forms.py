"""The forms in which a table or a figure can be written."""

TABLES = {"latex": "tex", "markdown": "md", "csv": "csv"}
"""The forms of a table as a file, with how its name ends."""

FIGURES = ("svg", "png")
"""The forms of a figure as a file."""
