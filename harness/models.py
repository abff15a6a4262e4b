"""`harness.models.folder`: the packaged model as a plain transformers folder, under the name that documents give."""

from harness.model.sources import folder

__all__ = ["folder"]
