"""Optimal transport: exact, semi-dual and neural Wasserstein distances, and what WGANs make of them."""
