"""Every annotated shape and dtype of the library is checked while the tests run."""

import os

from jaxtyping import install_import_hook

from tests import shapes

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

install_import_hook("kexue", f"{shapes.__name__}.checked")
