"""What the site has of its own: generated pages, executed blocks, formulas that need no network."""
