"""New folders for measurements.

ext4 does not use the inode of a deleted file again for some minutes, and looks at each of them whenever it makes a
file. After a benchmark has deleted 10,000 files, another one that makes as many takes up to twenty times as long. So
folders stay until the process ends. Leave ten minutes between two benchmarks.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile


def new_folder() -> str:
    """Return the path of a new, empty folder, which is removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="gradgrid-benchmark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
