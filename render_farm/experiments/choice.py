"""Which pool of a cluster an experiment goes to."""

from render_farm.clusters import Cluster, PoolSettings, SlurmPool
from render_farm.planning.estimate import gpus as granted_gpus
from semforge.errors import InputError


def choose_pool(cluster: Cluster, name: str | None, gpus: int | None) -> str:
    """The pool of that name, or the only one that fits. Raises InputError naming those there are."""
    if name is not None:
        if name not in cluster.pools:
            raise InputError(f"--pool {name}: no such pool, expected one of {', '.join(cluster.pools)}")
        return name
    fit = [key for key, pool in cluster.pools.items() if _fits(pool, gpus)]
    if len(fit) != 1:
        wanted = "" if gpus is None else " with GPUs" if gpus else " without GPUs"
        raise InputError(f"--cluster: has {len(fit)} pools{wanted}; choose by --pool: {', '.join(cluster.pools)}")
    return fit[0]


def _fits(pool: PoolSettings, gpus: int | None) -> bool:
    return gpus is None or not isinstance(pool, SlurmPool) or (gpus > 0) == (granted_gpus(pool) > 0)
