"""Where our programs are, and how a process of its own finds them."""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def with_our_packages(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables`, in which Python finds our packages wherever the user is."""
    path = os.pathsep.join([str(ROOT), *filter(None, [variables.get("PYTHONPATH")])])
    return {**variables, "PYTHONPATH": path}
