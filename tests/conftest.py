"""Before anything is imported: no test asks a hub, unless it starts one of its own on loopback."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from hypothesis import HealthCheck, settings

# The same examples on every run, and no verdict about a machine that is busy with something else.
settings.register_profile("house", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
