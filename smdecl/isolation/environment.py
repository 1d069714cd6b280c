"""The environment variables of the processes that smdecl starts.

The server and confined processes get only those that configure Python, TensorFlow, the
hardware and the system's libraries; unconfined code gets all. The server is restricted
too, because confined processes are forked from it and can read its environment in
/proc/self/environ.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from smdecl.errors import PublishError

INSIDE = "SMDECL_INSIDE"  # set in every child and its descendants
# The same in every child, whatever the environment of the caller.
PINNED = {
    "PYTHONHASHSEED": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_DETERMINISTIC_OPS": "0",
    # A GPU multiplies float32 matrices with 10 bits of precision otherwise.
    "NVIDIA_TF32_OVERRIDE": "0",
    # Autotuning chooses kernels by their speed, so the last bits differ between runs.
    "TF_CUDNN_USE_AUTOTUNE": "0",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "0",
    "KERAS_BACKEND": "tensorflow",
    "KERAS_NNX_ENABLED": "0",
    # Long sums are split by the number of threads, which changes their last bits.
    "TF_NUM_INTRAOP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_NAMES = (
    "CONDA_PREFIX", "GLIBC_TUNABLES", "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH",
    "LD_PRELOAD", "LOGNAME", "PATH", "TEMP", "TERM", "TMP", "TMPDIR", "TZ", "USER",
    "VIRTUAL_ENV",
)  # fmt: skip
_PREFIXES = (
    "CUDA", "CUDNN", "DYLD_", "GOMP_", "HIP_", "HSA_", "KERAS_", "KMP_", "LC_",
    "MALLOC_", "MKL_", "NCCL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PYTHON", "ROCM_",
    "SMDECL_", "TF2_", "TF_", "XLA_",
)  # fmt: skip
# The variables of Terraform share the prefix of TensorFlow's.
_SECRET = re.compile(r"TF_(VAR|CLI|HTTP)_|TOKEN|SECRET|PASSW|CREDENTIAL|_KEY")


def reduced(
    environment: Mapping[str, str], declared: Collection[str] = ()
) -> dict[str, str]:
    """Returns the variables of the caller that a restricted process gets.

    Args:
        environment: The environment of the caller.
        declared: Names of additional variables to keep.
    """
    return {
        name: value
        for name, value in environment.items()
        if name in declared or _is_plain(name)
    }


def of_child(
    scratch: Path, declared: Collection[str] | None
) -> dict[str, str]:
    """Returns the variables of a child.

    Args:
        scratch: Its TMPDIR.
        declared: Names of variables that a confined child gets in addition to those of `reduced`;
            None if it is not confined and gets all.
    """
    known: Mapping[str, str] = os.environ
    if declared is not None:
        known = reduced(known, declared)
    return {**known, **PINNED, "TMPDIR": str(scratch), INSIDE: "1"}


def _is_plain(name: str) -> bool:
    """Returns whether a variable is configuration and does not look like a secret."""
    is_known = name in _NAMES or name.startswith(_PREFIXES)
    return is_known and _SECRET.search(name) is None


def require_scratch() -> None:
    """Raises unless TMPDIR, or the default, is a directory that can be written.

    Raises:
        PublishError: If no temporary file can be written.
    """
    try:
        tempfile.gettempdir()
    except OSError as error:
        message = f"cannot write a temporary file: {error}"
        raise PublishError(
            f"{message}; expected a TMPDIR with room"
        ) from error
