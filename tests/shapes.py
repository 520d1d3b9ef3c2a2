"""The checker of annotated shapes and dtypes while the tests run."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int serves where a float is wanted
