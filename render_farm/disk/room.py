"""A disk that takes no more: how it is noticed, and what is said of it."""

import errno
import os

from render_farm.disk.folder import Folder
from semforge.errors import SemforgeError

BAD_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
PROBE_OF_DISK = 1 << 16  # bytes


def cannot_write(folder: Folder, why: str) -> SemforgeError:
    """The error to raise."""
    return SemforgeError(
        f"{folder.root}: cannot be written to ({why}); what is on disk is kept: make room, then give the same "
        "command again"
    )


def is_full(folder: Folder) -> bool:
    """Whether nothing more can be written into the folder."""
    probe = folder.root / ".room"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_OF_DISK))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    finally:
        probe.unlink(missing_ok=True)
    return False
