"""The command that starts Python in namespaces of its own, with nothing but its own files."""

import functools
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path, PurePosixPath
from typing import Final

_INSIDE: Final = PurePosixPath("/python")
_LIBRARY = re.compile(r"^\s*(?:(\S+) => )?(/\S+) \(0x", re.MULTILINE)  # as ldd prints them
_DESKTOP = "_tkinter"  # it alone would bring fifteen libraries
_NAMESPACES = (
    "--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL",
    "--hostname", "sandbox", "--die-with-parent", "--new-session", "--clearenv",
)  # fmt: skip


class IsolationError(Exception):
    """Why no such command can be had."""


@functools.cache
def isolating() -> list[str]:
    """bwrap, its options, and the path of Python inside; arguments of Python may follow."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        raise IsolationError("bubblewrap's command `bwrap` is not installed")
    python = Path(sys.executable).resolve()
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    inside = _INSIDE / standard.relative_to(Path(sys.base_prefix).resolve())
    options = [*_NAMESPACES, "--setenv", "LD_LIBRARY_PATH", str(_INSIDE / "lib")]
    shown = {
        python: _INSIDE / "bin" / python.name,
        standard: inside,
        **_libraries(python, standard),
    }
    for there, here in shown.items():
        options += ["--ro-bind", str(there), str(here)]
    if (standard / "site-packages").is_dir():  # what the host has installed is its own affair
        hidden = str(inside / "site-packages")
        options += ["--tmpfs", hidden, "--remount-ro", hidden]
    options += ["--remount-ro", "/", "--chdir", "/", "--"]
    return [bwrap, *options, str(_INSIDE / "bin" / python.name)]


def _libraries(python: Path, standard: Path) -> dict[Path, PurePosixPath]:
    """{shared library: its place inside}, the loader at its own path, of Python and its modules."""
    modules = (standard / "lib-dynload").glob("*.so")
    files = [python, *(file for file in modules if not file.name.startswith(_DESKTOP))]
    try:
        told = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        raise IsolationError("`ldd`, which names the libraries of Python, is not there") from None
    return {
        Path(path): _INSIDE / "lib" / name if name else PurePosixPath(path)
        for name, path in sorted(_LIBRARY.findall(told))
    }
