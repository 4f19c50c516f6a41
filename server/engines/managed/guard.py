"""The process between Portico and vLLM: it starts vLLM and takes it along when Portico ends, however that happens.

Run by path with -I -S and the standard library only, so that it is up in some 20 ms:

    python -I -S guard.py GRACE_SECONDS COMMAND...      (descriptor 0: a pipe that Portico holds open)

It tells Portico on descriptor 1: `started PID`, then `exited STATUS` (minus the signal where one ended it). vLLM gets
descriptor 2 as its output. What ends vLLM and all it started, TERM first and KILL after the grace time:

    end of file on descriptor 0     Portico is gone (SIGKILL, the OOM killer, a crash), or asks for the end
    another parent process          Portico is gone, and some other process has the pipe too
    a byte on descriptor 0          Portico asks for the end without a grace time
    SIGTERM, SIGINT, SIGHUP         somebody asks for it
    vLLM's API server ends          its engine processes must not outlive it

and what does when this guard is killed itself: the kernel kills the API server (PR_SET_PDEATHSIG), and the watchman, a
fork of the guard that waits for its end, kills the rest of the session that vLLM was started in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_S = 0.05
PARENT_POLL_S = 1.0
TRACKER_GRACE_S = 2.0


def main(arguments: list[str]) -> int:
    grace = float(arguments[0])
    portico = os.getppid()
    # Orphans of vLLM become children of the guard, so that it sees and ends those that left the session too.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    signal.signal(signal.SIGCHLD, lambda _received, _frame: None)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)

    watchman, tell_watchman = start_watchman()
    engine = start_engine(arguments[1:])
    os.write(tell_watchman, f"{engine.pid}\n".encode())
    report(f"started {engine.pid}")
    while engine.poll() is None and not stopping:
        ready, _, _ = select.select([0, wake_read], [], [], PARENT_POLL_S)
        if os.getppid() != portico:
            stopping.append(0)
        if wake_read in ready:
            os.read(wake_read, 4096)
        if 0 in ready:
            stopping.append(0)
            grace = 0.0 if os.read(0, 1) else grace
    end_all(engine, watchman, grace if engine.poll() is None else min(grace, 0.5))
    report(f"exited {engine.returncode}")
    return 0


def start_engine(command: list[str]) -> subprocess.Popen[bytes]:
    guard = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def in_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:  # the guard died before prctl: no signal will come
            os._exit(1)

    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            start_new_session=True,
            preexec_fn=in_child,  # noqa: PLW1509 - there is one thread
        )
    except OSError as error:
        os.write(2, f"guard: {command[0]}: {error.strerror}\n".encode())
        report("exited 127")
        raise SystemExit(0) from None


def start_watchman() -> tuple[int, int]:
    """Fork the process that outlives the guard by a moment: its pid, and where to write the engine's session to."""
    read, write = os.pipe()
    if pid := os.fork():
        os.close(read)
        return pid, write
    os.close(write)
    os.setsid()  # a signal to the guard's group must not reach it
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    devnull = os.open(os.devnull, os.O_RDWR)
    os.dup2(devnull, 0)
    os.dup2(devnull, 1)  # Portico reads the guard's end from that pipe: it must not stay open here
    told = b""
    while data := os.read(read, 64):  # until the guard is gone
        told += data
    if told.strip().isdigit():
        kill_members(int(told))
    os._exit(0)


def end_all(engine: subprocess.Popen[bytes], watchman: int, grace: float) -> None:
    """TERM to the API server, which ends its own; then KILL to whatever is left of session and descendants."""
    if engine.poll() is None:
        engine.terminate()
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and (engine.poll() is None or members(engine.pid, watchman)):
        reap(engine)
        time.sleep(POLL_S)
    kill_members(engine.pid, watchman, engine)
    engine.wait()


def kill_members(session: int, watchman: int = 0, engine: subprocess.Popen[bytes] | None = None) -> None:
    """KILL until nothing is left: a process may fork while the list is read.

    Python's resource trackers are spared for a moment: once alone they remove shared memory from /dev/shm and end.
    """
    began = time.monotonic()
    while (found := members(session, watchman)) and time.monotonic() < began + 10:
        for pid in found:
            if time.monotonic() < began + TRACKER_GRACE_S and is_tracker(pid):
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if engine is not None:
            reap(engine)
        time.sleep(POLL_S)


def members(session: int, watchman: int) -> list[int]:
    """Living processes of `session` and descendants of this process, but for the watchman."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would double the time to start
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                    state, parent, _group, of_session = file.read().rpartition(b")")[2].split()[:4]
            except OSError:
                continue  # it ended meanwhile
            if state not in b"ZX":
                parents[int(name)] = int(parent)
                if int(of_session) == session:
                    found.add(int(name))
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sorted((found | below) - {os.getpid(), watchman})


def is_tracker(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return b"multiprocessing.resource_tracker" in file.read()
    except OSError:
        return False


def reap(engine: subprocess.Popen[bytes]) -> None:
    """Collect orphans that ended; the engine itself is left to its Popen."""
    try:
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if found.si_pid == engine.pid:
                engine.poll()
            else:
                os.waitpid(found.si_pid, os.WNOHANG)
    except ChildProcessError:
        pass


def report(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # Portico is gone: that is one of the reasons to be here
        os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
