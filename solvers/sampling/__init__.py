"""What posterior samplers share."""
