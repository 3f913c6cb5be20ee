"""Where songs come from: one file a source, one record type out."""

from kg.sources.record import Rejected, SongRecord

__all__ = ["Rejected", "SongRecord"]
