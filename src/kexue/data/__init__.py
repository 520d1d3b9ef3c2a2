"""The data sets of the book: a registry, one door to read them, and a record of what was read.

Shipped sets are read from the package. The others come from the folder named by the environment variable
`KEXUE_DATA` (laid out as the registry's `path`s) or, failing that, from their public source through pooch. Whatever
the way, the digest of the *decoded* content must be the registry's.
"""

from kexue.data.reader import DataError, digests_read, load, locate
from kexue.data.registry import DataSet, dataset, registry

__all__ = ["DataError", "DataSet", "dataset", "digests_read", "load", "locate", "registry"]
