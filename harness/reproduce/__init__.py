"""Published tables beside ours: `python -m harness reproduce NAME`, one file for each table.

What can be reproduced is in catalogue.py, what a reproduction hands back in frame.py, the verb in verbs/reproduce.py.
The published figures are data of `results.literature`; recipes for a GPU and the hub are data in `recipes/`.
"""
