"""From a scan to a file, without a terminal."""
