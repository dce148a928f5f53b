"""Old names of the tag options."""

from genretag.tags.options import KEEP_AS_IS as AS_IT_IS
from genretag.tags.options import TagOptions as Form

__all__ = ["AS_IT_IS", "Form"]
