"""Which songs a model learns from, is chosen by, and is measured on."""

from kg.splits.artists import artist_key
from kg.splits.songs import SplitSong

__all__ = ["SplitSong", "artist_key"]
