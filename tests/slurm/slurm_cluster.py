"""A real Slurm cluster on one machine, for tests: munge, MariaDB, slurmdbd, slurmctld and five nodes.

Everything it writes lies in one folder, every port is a free one and every socket a file in
the folder, so several clusters run side by side and the system's own services are not touched.

All daemons are children of a keeper process, to which whatever they leave behind falls too.
When the keeper ends, or the process that started it, nothing stays: no daemon, no job.

By hand, in the foreground until Ctrl-C: python tests/slurm/slurm_cluster.py FOLDER
"""

import argparse
import ctypes
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import TypeVar

PROGRAMS = (
    "munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd",
    "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "sacct", "sacctmgr",
)  # fmt: skip
SEARCH = os.pathsep.join(("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"))
CPU_NODES = ("c1", "c2", "c3")
GPU_NODES = ("g1", "g2")
NODES = CPU_NODES + GPU_NODES
NODE_CPUS = 2
START_S = 60.0
STOP_S = 20.0
NODE_MARK = "SEMFORGE_SLURM_NODE"  # in the environment of a slurmd and so of every slurmstepd that it starts
LONGEST_SOCKET = 107
OWN_FOLDERS = ("db", "etc", "log", "run", "spool", "state")
READY = "ready"

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LIBC = ctypes.CDLL(None)

T = TypeVar("T")


class ClusterError(Exception):
    """The cluster does not do what it should; ends with the tails of its logs where they help."""


@dataclass(frozen=True)
class Options:
    """What may differ between clusters."""

    max_array: int = 40  # Slurm's MaxArraySize: indices run from 0 to one less
    grace_s: int = 0  # from the first signals of a preemption to the kill
    kill_wait_s: int = 5  # from SIGTERM to SIGKILL where a job is ended for its time limit or by preemption
    down_after_s: int = 10  # silence after which a node counts as down
    requeue_wait_s: int = 5  # before a requeued job may start again; a site's default is 120
    user_signal: bool = False  # preemption sends the signal of the job's --signal in place of SIGTERM


def missing() -> str | None:
    """Why no cluster can be started here, or None."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    if absent := [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]:
        return f"not installed: {', '.join(absent)}; as root: sh scripts/install_slurm.sh"
    return None


def wait_for(condition: Callable[[], T], timeout_s: float, what: str, every_s: float = 0.1) -> T:
    """The first true value of `condition`; raises ClusterError naming `what` after `timeout_s` seconds."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > end:
            raise ClusterError(f"waited {timeout_s:g} s for {what}")
        time.sleep(every_s)
    return value


class SlurmCluster:
    """A cluster in `folder`: started and ended as a context manager, or one that runs there already.

    Partitions: `cpu` (c1 to c3, the default), `gpu` (g1 and g2, one gres `gpu` each), and over all
    nodes `scavenge_requeue` and `scavenge_cancel`, whose jobs are preempted by those in `urgent`.
    """

    def __init__(self, folder: Path, options: Options = Options()) -> None:
        self.folder = Path(folder)
        self.options = options
        self._keeper: subprocess.Popen[str] | None = None

    def __enter__(self) -> "SlurmCluster":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Bring everything up and wait until all nodes are idle; raises ClusterError with the logs' tails."""
        if reason := missing():
            raise ClusterError(reason)
        self._keeper = subprocess.Popen(
            [sys.executable, __file__, str(self.folder), "--kept", json.dumps(asdict(self.options))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,  # Ctrl-C ends the tests, which then end the cluster
        )  # fmt: skip
        assert self._keeper.stdout is not None
        said = []
        for line in self._keeper.stdout:
            if line.strip() == READY:
                return
            said.append(line)
        self.stop()
        raise ClusterError("".join(said).strip() or "the keeper of the cluster ended without a word")

    def stop(self) -> None:
        """End every process of the cluster, jobs included."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin is not None and keeper.stdout is not None
        keeper.stdin.close()  # the keeper's sign to end, also when this process is killed
        try:
            keeper.wait(STOP_S)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        keeper.stdout.close()

    def environment(self) -> dict[str, str]:
        """What sbatch, squeue, sacct, scancel and scontrol need to find this cluster and no other."""
        return {"SLURM_CONF": str(self.folder / "etc" / "slurm.conf")}

    def run(self, *command: str, timeout_s: float = 60.0) -> str:
        """Standard output of a command in the cluster's environment; raises ClusterError if it fails."""
        ended = subprocess.run(
            command, env=os.environ | self.environment(), text=True, timeout=timeout_s, check=False,
            stdin=subprocess.DEVNULL, capture_output=True,
        )  # fmt: skip
        if ended.returncode:
            raise ClusterError(f"{' '.join(command)}: status {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout

    def wait_for(self, condition: Callable[[], T], timeout_s: float, what: str, every_s: float = 0.2) -> T:
        """As the function `wait_for`, with the queue and the logs' tails in the error."""
        try:
            return wait_for(condition, timeout_s, what, every_s)
        except ClusterError as error:
            with suppress(Exception):
                error = ClusterError(f"{error}\n{self.run('squeue')}\n{self.run('sinfo')}")
            raise ClusterError(f"{error}\n{tails(self.folder)}") from None

    def kill_node(self, name: str, everything: bool = False) -> None:
        """Kill the slurmd of a node as `kill -9` does; `everything`: all that runs there too, as a power cut does."""
        self._tell(f"kill {name} {'everything' if everything else 'slurmd'}")

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node that was killed, and wait until it is back in service."""
        self._tell(f"start {name}")
        self.wait_for(lambda: self.node_state(name) in ("idle", "mixed", "allocated"), START_S, f"{name} to be back")

    def drain(self, name: str, reason: str = "test") -> None:
        """Let the node finish what it has and take nothing new."""
        self.run("scontrol", "update", f"NodeName={name}", "State=DRAIN", f"Reason={reason}")

    def resume(self, name: str) -> None:
        """Put a drained or down node back into service."""
        self.run("scontrol", "update", f"NodeName={name}", "State=RESUME")

    def node_state(self, name: str) -> str:
        """State of a node as sinfo has it, e.g. `idle`, `mixed`, `drained`, `down*` (the star: not answering)."""
        return self.run("sinfo", "-h", "-N", "-n", name, "-o", "%T").split()[0]

    def set_grace(self, seconds: int) -> None:
        """From now on preempted jobs have that long between their first signals and the kill."""
        for partition in ("scavenge_requeue", "scavenge_cancel"):
            self.run("scontrol", "update", f"PartitionName={partition}", f"GraceTime={seconds}")

    def job_processes(self) -> list[int]:
        """Ids of all processes that jobs have started and that live, slurmstepd included: with no job, orphans."""
        return [int(word) for word in self._tell("processes").split()]

    def reset(self) -> None:
        """Back to the beginning: no jobs, nothing that jobs have left running, all nodes idle."""
        self._cancel("--user=root")
        for name in NODES:
            if not self._alive(name):
                self._tell(f"start {name}")
        self.set_grace(self.options.grace_s)
        self.wait_for(self._idle, START_S, "all nodes to be idle", every_s=0.5)
        for pid in self.job_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _idle(self) -> bool:
        jobs = self.run("squeue", "-h")
        if jobs:
            self._cancel("--user=root")  # a preempted job may have come back
        states = dict(line.split() for line in self.run("sinfo", "-h", "-N", "-o", "%N %T").splitlines())
        for name, state in states.items():
            if state.rstrip("*") in ("drained", "draining", "down"):
                with suppress(ClusterError):  # on its way from one state to the other
                    self.resume(name)
        return not jobs and all(states.get(name) == "idle" for name in NODES)

    def _cancel(self, *which: str) -> None:
        with suppress(ClusterError):  # a job that ends by itself meanwhile is an error to scancel
            self.run("scancel", "--quiet", *which)

    def _alive(self, name: str) -> bool:
        return self._tell(f"alive {name}") == "yes"

    def _tell(self, order: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(START_S)
            line.connect(str(self.folder / "run" / "keeper"))
            line.sendall(order.encode() + b"\n")
            answer = line.makefile().readline().strip()
        if answer.startswith("error"):
            raise ClusterError(f"{order}: {answer}")
        return answer


@dataclass(frozen=True)
class Ports:
    """TCP ports on the loopback device."""

    slurmctld: int
    slurmdbd: int
    slurmd: dict[str, int]

    @staticmethod
    def free() -> "Ports":
        """Ports that no one listens on, below those that the kernel hands out to clients."""
        found: list[int] = []
        while len(found) < len(NODES) + 2:
            candidate = random.randrange(15000, 32000)
            with socket.socket() as trial, suppress(OSError):
                trial.bind(("127.0.0.1", candidate))
                found.append(candidate)
        return Ports(found[0], found[1], dict(zip(NODES, found[2:], strict=True)))


def slurm_conf(folder: Path, ports: Ports, options: Options) -> str:
    """Text of slurm.conf."""
    host = socket.gethostname().split(".")[0]
    node = f"NodeAddr=127.0.0.1 CPUs={NODE_CPUS} RealMemory=16000 State=UNKNOWN"
    cpu_nodes = [f"NodeName={name} NodeHostname={host} Port={ports.slurmd[name]} Weight=1 {node}" for name in CPU_NODES]
    gpu_nodes = [
        f"NodeName={name} NodeHostname={host} Port={ports.slurmd[name]} Weight=10 Gres=gpu:1 Feature=gpu {node}"
        for name in GPU_NODES
    ]
    scavenge = f"Nodes=ALL PriorityTier=1 GraceTime={options.grace_s}"
    lines = [
        "ClusterName=semforge",
        f"SlurmctldHost={host}(127.0.0.1)",
        f"SlurmctldPort={ports.slurmctld}",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        "CredType=cred/munge",
        f"AuthInfo=socket={folder}/run/munge,cred_expire={options.requeue_wait_s}",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/spool/%n",
        f"SlurmctldPidFile={folder}/run/slurmctld.pid",
        f"SlurmdPidFile={folder}/run/%n.pid",
        f"SlurmctldLogFile={folder}/log/slurmctld.log",
        f"SlurmdLogFile={folder}/log/%n.log",
        "MailProg=/bin/true",
        "MpiDefault=none",
        "ProctrackType=proctrack/pgid",
        "TaskPlugin=task/none",
        "JobAcctGatherType=jobacct_gather/linux",
        "JobAcctGatherFrequency=task=5",
        "PropagateResourceLimits=NONE",
        "SlurmdParameters=config_overrides",  # more CPUs than the machine has
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU_Memory",
        "DefMemPerCPU=1000",
        "GresTypes=gpu",
        "AccountingStorageType=accounting_storage/slurmdbd",
        "AccountingStorageHost=127.0.0.1",
        f"AccountingStoragePort={ports.slurmdbd}",
        f"AccountingStoragePass={folder}/run/munge",  # where slurmdbd's clients find munge
        "AccountingStorageTRES=gres/gpu",
        "SchedulerType=sched/backfill",
        "SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1",
        "PriorityType=priority/basic",
        "PreemptType=preempt/partition_prio",
        "PreemptMode=REQUEUE",
        *(["SlurmctldParameters=preempt_send_user_signal"] if options.user_signal else []),
        f"MaxArraySize={options.max_array}",
        f"KillWait={options.kill_wait_s}",
        f"SlurmdTimeout={options.down_after_s}",
        "SlurmctldTimeout=30",
        "InactiveLimit=0",
        "CompleteWait=0",
        "JobRequeue=1",
        "ReturnToService=2",
        *cpu_nodes,
        *gpu_nodes,
        f"PartitionName=cpu Nodes={','.join(CPU_NODES)} Default=YES PriorityTier=1 PreemptMode=OFF",
        f"PartitionName=gpu Nodes={','.join(GPU_NODES)} PriorityTier=1 PreemptMode=OFF",
        f"PartitionName=scavenge_requeue {scavenge} PreemptMode=REQUEUE",
        f"PartitionName=scavenge_cancel {scavenge} PreemptMode=CANCEL",
        "PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF",
    ]
    return "\n".join(lines) + "\n"


def slurmdbd_conf(folder: Path, ports: Ports) -> str:
    """Text of slurmdbd.conf."""
    lines = [
        "AuthType=auth/munge",
        f"AuthInfo=socket={folder}/run/munge",
        "DbdHost=localhost",
        "DbdAddr=127.0.0.1",
        f"DbdPort={ports.slurmdbd}",
        "SlurmUser=root",
        f"LogFile={folder}/log/slurmdbd.log",
        f"PidFile={folder}/run/slurmdbd.pid",
        "StorageType=accounting_storage/mysql",
        "StorageHost=localhost",
        "StorageUser=root",
        "StorageLoc=slurm",
    ]
    return "\n".join(lines) + "\n"


def gres_conf(folder: Path) -> str:
    """Text of gres.conf: a null device stands for each GPU."""
    return "".join(f"NodeName={name} Name=gpu File={folder}/spool/{name}/gpu0\n" for name in GPU_NODES)


def tails(folder: Path, lines: int = 15) -> str:
    """The last lines of every log that says anything."""
    parts = []
    for path in sorted((folder / "log").glob("*")):
        if path.suffix == ".out" and path.with_suffix(".log").exists():
            continue  # the same again
        said = [line for line in path.read_text(errors="replace").splitlines() if "mpi" not in line.lower()]
        if last := said[-lines:]:
            parts.append("\n".join([f"--- {path}", *last]))
    return "\n".join(parts)


@dataclass
class Keeper:
    """Parent of every process of the cluster; runs in a process of its own."""

    folder: Path
    options: Options
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def bring_up(self) -> None:
        """Start all daemons, each as soon as what it needs answers."""
        folder = self.folder
        self._make_folders()
        ports = Ports.free()
        self._write("etc/slurm.conf", slurm_conf(folder, ports, self.options))
        self._write("etc/slurmdbd.conf", slurmdbd_conf(folder, ports), 0o600)
        self._write("etc/gres.conf", gres_conf(folder))
        # Nothing here uses cgroups; found by itself, their version 2 wants systemd, which containers lack.
        self._write("etc/cgroup.conf", "CgroupPlugin=cgroup/v1\n")
        for name in GPU_NODES:
            (folder / f"spool/{name}/gpu0").symlink_to("/dev/null")  # slurmd wants a device, any will do
        (folder / "etc/munge.key").write_bytes(os.urandom(1024))
        (folder / "etc/munge.key").chmod(0o400)
        self._start(
            "munged", "--foreground", "--force", "--origin=127.0.0.1", "--num-threads=4",
            f"--key-file={folder}/etc/munge.key", f"--socket={folder}/run/munge", f"--pid-file={folder}/run/munged.pid",
            f"--seed-file={folder}/state/munge.seed", f"--log-file={folder}/log/munged.log",
        )  # fmt: skip
        self._call(
            "mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={folder}/db", "--skip-name-resolve",
            "--force", "--auth-root-authentication-method=normal", "--skip-test-db",
        )  # fmt: skip
        self._start(
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={folder}/db", f"--socket={folder}/run/db",
            f"--pid-file={folder}/run/mariadbd.pid", "--skip-networking", "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
            "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        self._until("munged", (folder / "run/munge").is_socket)
        self._until("mariadbd", lambda: _answers(folder / "run/db"))
        self._start("slurmdbd", "-D")
        self._until("slurmdbd", lambda: self._succeeds("sacctmgr", "-i", "add", "cluster", "semforge"))
        self._start("slurmctld", "-D")
        for name in NODES:
            self.start_node(name)
        self._until("slurmctld", self._all_idle)

    def serve(self, lifeline: int | None) -> None:
        """Follow orders on the socket run/keeper until a signal, or until the lifeline's other end is closed."""
        with closing(socket.socket(socket.AF_UNIX)) as door, selectors.DefaultSelector() as selector:
            door.bind(str(self.folder / "run/keeper"))
            door.listen()
            selector.register(door, selectors.EVENT_READ)
            if lifeline is not None:
                print(READY, flush=True)
                selector.register(lifeline, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(0.2):
                    if key.fileobj is not door:
                        return
                    with door.accept()[0] as line, suppress(OSError):
                        line.settimeout(5)
                        order = line.makefile().readline().split()
                        try:
                            answer = self._obey(*order)
                        except Exception as error:
                            answer = f"error {error}"
                        line.sendall(answer.encode() + b"\n")
                self._reap()

    def bring_down(self) -> None:
        """Kill every descendant, again until none is left."""
        end = time.monotonic() + STOP_S / 2
        while (left := list(descendants(os.getpid()))) and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            self._reap()

    def start_node(self, name: str) -> None:
        """Start the slurmd of a node."""
        self._start("slurmd", "-D", "-N", name, name=name, environment={NODE_MARK: name})

    def _obey(self, verb: str, node: str = "", what: str = "") -> str:
        self._reap()
        if verb == "processes":
            return " ".join(str(pid) for pid in self._of_jobs())
        alive = node in self.daemons
        if node not in NODES:
            raise ClusterError(f"no node {node}, there are {', '.join(NODES)}")
        if verb == "alive":
            return "yes" if alive else "no"
        if verb == "start" and not alive:
            self.start_node(node)
        elif verb == "kill":
            # The slurmd last: whoever asks for the processes of a dead node finds none.
            doomed = set(self._of_node(node)) if what == "everything" else set()
            for pid in [*doomed, *([self.daemons[node].pid] if alive else [])]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if alive:
                self.daemons.pop(node).wait()
        return "ok"

    def _of_jobs(self) -> Iterator[int]:
        # A slurmstepd leaves its slurmd, so it and what it starts come to the keeper.
        daemons = {daemon.pid for daemon in self.daemons.values()}
        spared = daemons.union(*(descendants(pid) for pid in daemons))
        return (pid for pid in descendants(os.getpid()) if pid not in spared)

    def _of_node(self, node: str) -> Iterator[int]:
        marks = (f"{NODE_MARK}={node}".encode(), f"SLURMD_NODENAME={node}".encode())
        for pid in descendants(os.getpid()):
            with suppress(OSError):
                if not set(marks).isdisjoint(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")):
                    yield pid
                    yield from descendants(pid)

    def _reap(self) -> None:
        names = {daemon.pid: name for name, daemon in self.daemons.items()}
        with suppress(ChildProcessError):
            while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if ended.si_pid in names:
                    self.daemons.pop(names[ended.si_pid]).wait()
                else:
                    os.waitpid(ended.si_pid, 0)

    def _make_folders(self) -> None:
        folder = self.folder
        if len(str(folder / "spool/c1/12345_4294967295.4294967295")) > LONGEST_SOCKET:
            raise ClusterError(f"{folder}: too long a path for sockets, give a folder such as /tmp/sc")
        if folder.exists() and (strange := [path.name for path in folder.iterdir() if path.name not in OWN_FOLDERS]):
            raise ClusterError(f"{folder}: holds {strange[0]}, give a folder for the cluster alone")
        if (folder / "run/keeper").exists() and _answers(folder / "run/keeper"):
            raise ClusterError(f"{folder}: a cluster runs there already")
        for name in OWN_FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        for name in NODES:
            (folder / "spool" / name).mkdir()

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(mode)

    def _environment(self, more: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": SEARCH, "LANG": "C.UTF-8", "SLURM_CONF": f"{self.folder}/etc/slurm.conf",
            "MYSQL_UNIX_PORT": f"{self.folder}/run/db",  # where slurmdbd finds the database
            **more,
        }  # fmt: skip

    def _start(self, *command: str, name: str = "", environment: Mapping[str, str] | None = None) -> None:
        name = name or command[0]
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [_program(command[0]), *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder / "log", env=self._environment(environment or {}), start_new_session=True,
                preexec_fn=_die_with_parent,
            )  # fmt: skip

    def _call(self, *command: str) -> None:
        with (self.folder / "log" / f"{command[0]}.out").open("ab") as log:
            subprocess.run(
                [_program(command[0]), *command[1:]], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment({}), check=True, timeout=START_S,
            )  # fmt: skip

    def _succeeds(self, *command: str) -> bool:
        try:
            self._call(*command)
        except subprocess.CalledProcessError:
            return False
        return True

    def _until(self, name: str, condition: Callable[[], bool]) -> None:
        def checked() -> bool:
            if (status := self.daemons[name].poll()) is not None:
                raise ClusterError(f"{name} ended with status {status}")
            return condition()

        wait_for(checked, START_S, f"{name} to be ready")

    def _all_idle(self) -> bool:
        ended = subprocess.run(
            [_program("sinfo"), "-h", "-N", "-p", "urgent", "-o", "%T"], env=self._environment({}), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        return ended.stdout.split() == ["idle"] * len(NODES)


def descendants(pid: int) -> Iterator[int]:
    """All processes below a process, itself not."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    waiting = list(children.get(pid, ()))
    while waiting:
        yield (found := waiting.pop())
        waiting += children.get(found, ())


def main() -> None:
    """Keep a cluster in the foreground."""
    parser = argparse.ArgumentParser(description="Run a Slurm cluster on this machine until Ctrl-C.")
    parser.add_argument("folder", type=Path, help="its folder, a short path such as /tmp/sc; wiped if it had one")
    for option in fields(Options):
        if option.type is bool:
            parser.add_argument(f"--{option.name.replace('_', '-')}", action="store_true")
        else:
            parser.add_argument(f"--{option.name.replace('_', '-')}", type=int, default=option.default)
    parser.add_argument("--kept", metavar="JSON", help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    folder, kept = given.pop("folder").absolute(), given.pop("kept")
    if reason := missing():
        sys.exit(f"slurm_cluster: {reason}")

    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    keeper = Keeper(folder, Options(**(json.loads(kept) if kept else given)))
    began = time.monotonic()
    try:
        keeper.bring_up()
        if kept:
            keeper.serve(sys.stdin.fileno())
        print(f"up after {time.monotonic() - began:.1f} s; Ctrl-C ends it. In another shell:")
        for name, value in SlurmCluster(folder).environment().items():
            print(f"export {name}={value}", flush=True)
        keeper.serve(None)
    except KeyboardInterrupt:
        pass
    except (ClusterError, OSError, subprocess.SubprocessError) as error:
        print(f"slurm_cluster: {error}\n{tails(folder)}", flush=True)
        sys.exit(1)
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        keeper.bring_down()


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _die_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _program(name: str) -> str:
    found = shutil.which(name, path=SEARCH)
    assert found is not None, name
    return found


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(path))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    main()
