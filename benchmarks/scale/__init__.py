"""Volumes that no machine here has the time for: projected from slices that were measured."""
