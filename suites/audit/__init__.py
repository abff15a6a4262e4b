"""What is wrong with a set of pairs: duplicates, contradictions, leaks, lengths; and what to do about it."""

from suites.audit.measure import audit, facts, lines, prompt_text
from suites.audit.report import Audit, Lengths
from suites.audit.words import Fact, advice

__all__ = ["Audit", "Fact", "Lengths", "advice", "audit", "facts", "lines", "prompt_text"]
