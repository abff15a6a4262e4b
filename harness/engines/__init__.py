"""Where cells run: worker processes of this machine, or actors on the machines of a Ray cluster."""
