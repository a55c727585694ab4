"""Samples from memory to disk: a task's buffer, and shards that were read back before they count."""

import os
import time

from blender_gen.sample import Header, Sample, verify_samples, write_samples
from render_farm.disk.folder import Folder
from render_farm.disk.journal import Journal
from render_farm.planning.plan import Shard, shards_of
from semforge.errors import SemforgeError

LARGEST_BUFFER = 256 * 2**20  # bytes of samples in memory, before compression


class BadWrite(SemforgeError):
    """What was read back from disk is not what was written."""


class Moved(SemforgeError):
    """The folder is not where it was."""


class ShardWriter:
    """Keeps finished samples and writes them as shards, whole and verified.

    Whatever interrupts `flush`, a shard is on disk whole or not at all, and calling `flush`
    again, also from a signal handler in the middle of the first call, is harmless.
    """

    def __init__(self, folder: Folder, journal: Journal, shard_size: int, checkpoint_s: float):
        self._folder, self._journal = folder, journal
        self._identity = folder.identity
        self._shard_size, self._checkpoint_s = shard_size, checkpoint_s
        self._samples: dict[int, Sample] = {}
        self._header: Header | None = None
        self._flushed = time.monotonic()

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, sample: Sample, header: Header) -> None:
        """Keep a sample; one of another header than those before has these written first."""
        if self._header is not None and header != self._header:
            self.flush()
        self._header = header
        self._samples[sample.index] = sample

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        if not self._samples:
            return False
        waited = time.monotonic() - self._flushed >= self._checkpoint_s
        return waited or len(self) >= self._shard_size or self._bytes() >= LARGEST_BUFFER

    def flush(self) -> None:
        """Write all samples kept.

        Raises OSError if they cannot be written, BadWrite if they do not read back, Moved if the folder is gone.
        """
        self._flushed = time.monotonic()
        for shard in shards_of(self._samples, self._shard_size):
            self._write(shard)
            for index in shard.indices:
                self._samples.pop(index, None)

    def _write(self, shard: Shard) -> None:
        assert self._header is not None
        if not self._folder.is_still(self._identity):
            raise Moved(f"{self._folder.root}: was moved or replaced; {len(shard)} samples are not written")
        path = self._folder.shard_path(shard)
        write_samples(path, [self._samples[index] for index in shard.indices], self._header)
        file, bad = verify_samples(path)
        file.close()
        if bad:
            raise BadWrite(f"{path}: {len(bad)} of {len(shard)} samples do not read back as they were written")
        state = os.stat(path)
        self._journal.write(
            "shard", name=shard.name, bytes=state.st_size, mtime_ns=state.st_mtime_ns, digest=file.digest
        )

    def _bytes(self) -> int:
        return sum(sample.nbytes for sample in self._samples.values())
