"""The comparison benchmark: methods, priors and other packages on the same problems."""
