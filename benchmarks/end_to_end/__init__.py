"""Whole trainings, watched and unwatched in turns; one file each."""
