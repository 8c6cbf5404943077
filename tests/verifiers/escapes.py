"""Programs that try to get out of the sandbox, or to have marks that they did not earn."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

# what the programs may use: where something of the host lies, and a mark that tells them apart
PRELUDE = """
import ctypes, os, sys
DIRECTORY, SECRET, PORT, VICTIM, MARK = {directory!r}, {secret!r}, {port}, {victim}, {mark!r}
HOST_PYTHON = {python!r}
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, MARK.encode(), 0, 0, 0)

def got(what=True):
    if what:
        print("GOT", what, flush=True)
"""

# name: a program that prints what it got; those in CONTROLS do get it where nothing isolates them
ESCAPES = {
    "reads a file of the host": "got(open(SECRET).read())",
    "reads it from a thread": (
        "import threading\n"
        "t = threading.Thread(target=lambda: got(open(SECRET).read())); t.start(); t.join()"
    ),
    "reads it through a symbolic link": (
        "os.symlink(SECRET, '/tmp/link'); got(open('/tmp/link').read())"
    ),
    "reads it through a hard link": "os.link(SECRET, 'x'); got(open('x').read())",
    "reads it through C": (
        "f = libc.open(SECRET.encode(), 0); b = ctypes.create_string_buffer(99)\n"
        "libc.read(f, b, 99); got(b.value)"
    ),
    "reads it through an inherited descriptor": (
        "for f in range(3, 64):\n"
        "    try: got(open(os.open(SECRET, 0, dir_fd=f)).read())\n"
        "    except OSError: pass"
    ),
    "reads it from the root of another process": (
        "got(open(f'/proc/{VICTIM}/root' + SECRET).read())"
    ),
    "climbs out by relative paths": "got(open('../' * 40 + SECRET).read())",
    "opens by a file handle": (
        "b = ctypes.create_string_buffer(128)\n"
        "got(libc.open_by_handle_at(-100, b, 0) >= 0)\n"
        "got(open(SECRET).read())"
    ),
    "reads the accounts": "got(open('/etc/passwd').read())",
    "reads the home directory": "got(os.listdir(os.path.expanduser('~') or '/root'))",
    "reads what is installed on the host": "import torch, numpy; got()",
    "reads the environment": "got(set(os.environ) - {'LD_LIBRARY_PATH', 'PWD'})",
    "reads the environment of its parents": (
        "for p in (VICTIM, os.getppid()): got(open(f'/proc/{p}/environ', 'rb').read())"
    ),
    "reads the memory of its parent": "got(open(f'/proc/{os.getppid()}/mem', 'rb').read(1))",
    "lists processes": "got(str(VICTIM) in os.listdir('/proc'))",
    "writes a file": "open(DIRECTORY + '/written', 'w').write(MARK)",
    "makes a directory": "os.mkdir(DIRECTORY + '/made')",
    "writes into every directory it finds": (
        "for at, _, _ in os.walk('/'):\n"
        "    try: open(os.path.join(at, MARK), 'w').write(MARK); got(at)\n"
        "    except OSError: pass"
    ),
    "removes a file": "os.unlink(SECRET)",
    "truncates a file": "os.truncate(SECRET, 0)",
    "changes a mode": "os.chmod(DIRECTORY, 0o777)",
    "writes the interpreter": (
        "for path in (os.__file__, sys.executable, HOST_PYTHON):\n"
        "    try: open(path, 'ab').write(b'x'); got(path)\n"
        "    except OSError: pass"
    ),
    "writes byte code beside the library": (
        "os.makedirs(os.path.dirname(os.__file__) + '/__pycache__', exist_ok=True)\n"
        "open(os.path.dirname(os.__file__) + '/__pycache__/' + MARK, 'w').write('x')"
    ),
    "writes shared memory": "open('/dev/shm/' + MARK, 'w').write(MARK)",
    "makes a shared segment": "got(libc.shmget(0x6a756d, 4096, 0o1666) >= 0)",
    "makes memory that no limit counts": "got(libc.memfd_create(b'x', 0) >= 0)",
    "connects to the host": (
        "import socket\n"
        "s = socket.create_connection(('127.0.0.1', PORT), timeout=1); s.send(MARK.encode())"
    ),
    "connects to a unix socket": (
        "import socket\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(DIRECTORY + '/socket'); s.send(MARK.encode())"
    ),
    "connects to an abstract socket": (
        "import socket\n"
        "s = socket.socket(socket.AF_UNIX); s.connect('\\0' + MARK); s.send(MARK.encode())"
    ),
    "listens": "import socket; s = socket.socket(); s.bind(('', 0)); got(s.getsockname())",
    "opens a raw socket": "import socket; got(socket.socket(17, 3, 3))",
    "forks": "got(os.fork() >= 0)",
    "forks through C": "got(libc.fork() >= 0)",
    "forks without end": (
        "n = 0\n"
        "while True:\n"
        "    n += libc.fork() >= 0\n"
        "    got(n)"
    ),
    "clones by number": (
        "got(libc.syscall(56, 17, 0, 0, 0, 0) >= 0); got(libc.syscall(435, 0, 0) >= 0)"
    ),
    "starts a shell": "got(os.system('true') == 0)",
    "becomes a shell": "os.execv('/bin/sh', ['sh', '-c', 'echo GOT shell'])",
    "starts a process": "import subprocess; got(subprocess.run([sys.executable, '-V']))",
    "starts a pool": (
        "import multiprocessing as m\ngot(m.get_context('spawn').Pool(1).map(abs, [1]))"
    ),
    "leaves a process behind": (
        "if os.fork() == 0:\n    os.setsid()\n    import time\n    time.sleep(600)\ngot()"
    ),
    "leaves a thread behind": (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=False).start()\n"
        "os._exit(0)"
    ),
    "signals a process of the host": "os.kill(VICTIM, 9); got()",
    "signals its parent": "os.kill(os.getppid(), 9); os.kill(1, 9)",
    "signals everybody": "import signal; signal.signal(15, lambda *_: None); os.kill(-1, 15)",
    "traces another process": "got(libc.ptrace(16, VICTIM, 0, 0) == 0)",
    "reads another memory by call": (
        "b = ctypes.create_string_buffer(64)\n"
        "got(libc.process_vm_readv(VICTIM, b, 1, b, 1, 0) > 0)"
    ),
    "mounts": "got(libc.mount(b'none', b'/', b'tmpfs', 0, None) == 0)",
    "unmounts": "got(libc.umount2(b'/', 2) == 0)",
    "changes its root": "os.chroot('/python'); got()",
    "makes a name space": "got(libc.unshare(0x10000000) == 0)",
    "becomes root": (
        "for call in (os.setuid, os.setgid, os.seteuid):\n"
        "    try: call(0); got()\n"
        "    except OSError: pass"
    ),
    "names the host anew": "got(libc.sethostname(MARK.encode(), 4) == 0)",
    "sets the clock": "import time; time.clock_settime(time.CLOCK_REALTIME, 0); got()",
    "uses the ring of the kernel": "got(libc.syscall(425, 4, 0) >= 0)",
    "loads a program into the kernel": "got(libc.syscall(321, 5, 0, 0) >= 0)",
    "takes a key": "got(libc.syscall(250, 0, -3, 1) >= 0)",
    "raises its limits": (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40)); got()"
    ),
    "takes memory": "x = bytearray(2**33); got()",
    "takes memory bit by bit": "x = []\nwhile True: x.append(bytearray(2**24))",
    "takes processor time": "while True: pass",
    "takes processor time and refuses to stop": (
        "import signal\n"
        "for s in range(1, 65):\n"
        "    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "while True: pass"
    ),
    "sleeps": "import time; time.sleep(600)",
    "floods its output": "while True: print('x' * 100_000)",
    "floods its errors": "while True: print('x' * 100_000, file=sys.stderr)",
    "opens files without end": "x = [os.dup(0) for _ in range(100_000)]; got()",
    "starts threads without end": (
        "import threading, time\n"
        "while True: threading.Thread(target=time.sleep, args=(600,)).start()"
    ),
    "recurses in C": "x = []\nfor _ in range(10**7): x = [x]\nrepr(x)",
    "crashes": "ctypes.string_at(0)",
}  # fmt: skip

CONTROLS = (
    "reads a file of the host", "reads it from a thread", "reads it through C",
    "reads the environment of its parents", "lists processes", "makes a directory",
    "connects to the host", "connects to a unix socket", "connects to an abstract socket", "forks",
    "forks through C", "starts a shell", "becomes a shell", "starts a process",
    "makes memory that no limit counts", "listens",
)  # fmt: skip


class Outside:
    """Things on the host that a program might reach; `effects` says what it did to them."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.token = directory, f"token-{os.urandom(8).hex()}"
        self.mark = f"jm{os.urandom(4).hex()}"
        self.secret = directory / "secret"
        self.secret.write_text(self.token)

    def __enter__(self) -> "Outside":
        with ExitStack() as stack:
            self.listeners = [stack.enter_context(one) for one in self._listeners()]
            self.victim = stack.enter_context(
                subprocess.Popen(["sleep", "600"], env={"TOKEN": self.token})
            )
            stack.callback(self.victim.kill)
            self._before = self._state()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.left_behind():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._stack.close()

    def program(self, name: str) -> str:
        values = {
            "directory": str(self.directory), "secret": str(self.secret), "mark": self.mark,
            "port": self.listeners[0].getsockname()[1], "victim": self.victim.pid,
            "python": os.path.realpath(sys.executable),
        }  # fmt: skip
        return PRELUDE.format(**values) + ESCAPES[name]

    def effects(self, output: str) -> list[str]:
        """What a program got or changed, given what it wrote."""
        found = [line[:80] for line in output.split("\n") if line.startswith("GOT")]
        found += [f"changed {k}" for k, v in self._state().items() if v != self._before[k]]
        found += ["the victim is dead"] if self.victim.poll() is not None else []
        found += ["processes are left"] if self._outlive(5.0) else []
        return found + ["a connection" for one in self.listeners if _was_called(one)]

    def left_behind(self) -> list[int]:
        """Processes that bear the programs' mark as their name."""
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if Path(f"/proc/{name}/comm").read_text().strip() == self.mark:
                    found.append(int(name))
        return found

    def _outlive(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.left_behind():
            if time.monotonic() > end:
                return True
            time.sleep(0.05)
        return False

    def _listeners(self) -> list[socket.socket]:
        tcp, unix, abstract = socket.socket(), *(socket.socket(socket.AF_UNIX) for _ in range(2))
        tcp.bind(("127.0.0.1", 0))
        unix.bind(f"{self.directory}/socket")
        abstract.bind(f"\0{self.mark}")
        for one in (tcp, unix, abstract):
            one.listen()
            one.setblocking(False)
        return [tcp, unix, abstract]

    def _state(self) -> dict[str, object]:
        paths = [self.directory, Path(os.__file__), Path(sys.executable).resolve()]
        return {
            "the secret": self.secret.read_text() if self.secret.exists() else None,
            "files": sorted(os.listdir(self.directory)),
            "shared memory": self.mark in os.listdir("/dev/shm"),
            "modes and times": [(s.st_mode, s.st_size, s.st_mtime) for s in map(os.stat, paths)],
            "byte code": self.mark in os.listdir(Path(os.__file__).parent / "__pycache__"),
            "the host's name": socket.gethostname(),
            "the clock": time.time() > 1.7e9,
        }


def _was_called(listener: socket.socket) -> bool:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        return False
    connection.close()
    return True
