"""Runs that are killed, lose their workers, or meet a full disk, and then go on."""
