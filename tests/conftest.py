"""Before anything is imported: no test asks a hub, unless it starts one of its own on loopback."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
