"""What large scans take: time beside other packages, memory over hours, and precision."""
