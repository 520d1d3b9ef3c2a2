"""Kexue, Executed: the shared library of the book."""
