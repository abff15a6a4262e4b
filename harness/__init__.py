"""The harness: the one package that knows losses, suites, results and reports, and runs them.

Use it from the command line (`python -m harness --help`). Importing it loads nothing heavy.
"""
