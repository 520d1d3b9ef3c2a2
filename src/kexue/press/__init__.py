"""The press: chapter in, run, stored result, site out. It knows no science."""
