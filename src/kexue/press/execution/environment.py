"""The environment of a kernel: what a run needs to find its way, and nothing that could decide a number.

A list of what is let through, not of what is kept out: nobody knows all the variables that torch, BLAS, Python, IPython and
matplotlib read, and a run is stored under a key that covers none of them.
"""

from __future__ import annotations

import os
import site
from importlib.util import find_spec
from pathlib import Path

from kexue.press.project import LIBRARY
from kexue.press.store.plan import Unit

RUN = "KEXUE_RUN"  # digest of the code that runs: what it keeps for later, such as a training checkpoint, is kept by it

# Where things are, who asks, and in which language messages are.
_PLACES = """
HOME USER LOGNAME SHELL PATH LD_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH VIRTUAL_ENV CONDA_PREFIX
TMPDIR TEMP TMP XDG_CACHE_HOME XDG_RUNTIME_DIR LANG LANGUAGE TZ PYTHONPYCACHEPREFIX PYTHONDONTWRITEBYTECODE
"""
# Which GPU there is, and where its compiler and its cache are.
_GPU = """
CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_HOME CUDA_PATH CUDA_CACHE_PATH NVIDIA_VISIBLE_DEVICES
NVIDIA_DRIVER_CAPABILITIES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
"""
# How data is fetched.
_NET = """
HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy
SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
"""
_PASSED = frozenset((_PLACES + _GPU + _NET).split())
_FOLDERS = ("KEXUE_DATA", "KEXUE_CHECKPOINTS")  # made absolute: the kernel works in a folder of its own
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def environment(unit: Unit, scratch: Path, threads: int) -> dict[str, str]:
    """The environment of the kernel that makes a run.

    Args:
        unit: what is run.
        scratch: the kernel's working folder.
        threads: threads for torch, BLAS and OpenMP.
    """
    given = os.environ
    search = [
        str(LIBRARY),
        *(str(Path(e).resolve()) for e in given.get("PYTHONPATH", "").split(os.pathsep) if e),
    ]
    return {
        **{name: value for name, value in given.items() if name in _PASSED or name.startswith("LC_")},
        **{name: str(Path(given[name]).resolve()) for name in _FOLDERS if given.get(name)},
        **dict.fromkeys(_THREADS, str(threads)),
        **({"CUDA_VISIBLE_DEVICES": ""} if unit.device == "cpu" else {}),
        **({} if _needs_user_site() else {"PYTHONNOUSERSITE": "1"}),
        "PYTHONPATH": os.pathsep.join(search),
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "IPYTHONDIR": str(scratch / ".ipython"),
        "MATPLOTLIBRC": os.devnull,  # an empty one: matplotlib's own defaults, whatever the user has set for himself
        "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads starve the other run on a small machine
        "TQDM_DISABLE": "1",  # a progress bar is for who waits in front of it, not for the page
        RUN: unit.fingerprint.code,
    }


def _needs_user_site() -> bool:
    """Whether this very installation lies in the user's site folder, which is otherwise left out."""
    spec = find_spec("ipykernel")
    return spec is not None and Path(spec.origin or "").is_relative_to(site.getusersitepackages())
