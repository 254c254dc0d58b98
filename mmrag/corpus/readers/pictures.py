"""Moved to `mmrag.media.pictures`."""

from mmrag.media.pictures import *  # noqa: F403
from mmrag.media.pictures import FORMATS, MEDIA_TYPES, encode_png, exif_of, open_picture, upright  # noqa: F401
