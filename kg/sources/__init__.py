"""Where songs come from: one file a source, one record type (`kg.records.SongRecord`) out."""
