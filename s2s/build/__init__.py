"""The only room where the configuration meets classes: explicit match, no registry."""
