"""What is asked, and its name: trials, grids, spaces, identities."""
