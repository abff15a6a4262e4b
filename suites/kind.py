"""What the rows of a suite are."""

from enum import StrEnum


class Kind(StrEnum):
    """What one row of a suite holds; each is its word too, so that "pairs" in a file or a plug-in means the same."""

    PAIRS = "pairs"  # two completions of one prompt, the first preferred
    EXAMPLES = "examples"  # one answer, rated desirable or not
