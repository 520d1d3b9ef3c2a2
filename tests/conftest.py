"""Every annotated shape and dtype of the library is checked while the tests run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from jaxtyping import install_import_hook

install_import_hook("kexue", "beartype.beartype")
