"""The dynamic half: runs a loss against the reference formula that it claims to be."""
