"""Estimating densities: importance-weighted bounds, annealed importance sampling, VAEs, NVAE."""
