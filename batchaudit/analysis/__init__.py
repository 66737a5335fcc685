"""Frames in, frames out: what the events of a run amount to. Nothing here touches a file or the source."""
