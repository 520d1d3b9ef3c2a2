"""`python -m kexue.cli`."""

from kexue.cli import main

main()
