"""Find processes and what they listen on, as Linux lists them in /proc."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_LISTENS = "0A"


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def processes() -> Iterator[Path]:
    """Yield the folders of all processes."""
    return (path for path in Path("/proc").iterdir() if path.name.isdigit())


def processes_in(folder: Path) -> list[int]:
    """Return the ids of processes whose working directory is this folder; children inherit it."""
    found = []
    for process in processes():
        try:
            found += [int(process.name)] if (process / "cwd").readlink() == folder.resolve() else []
        except OSError:  # the process ended meanwhile
            continue
    return found


def family(pid: int) -> set[int]:
    """Return the ids of a process and its descendants."""
    parents = {}
    for process in processes():
        try:
            # the name in parentheses may have spaces
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {pid}
    while children := {child for child, parent in parents.items() if parent in found} - found:
        found |= children
    return found


def listening(pids: Iterable[int]) -> list[tuple[IPv4Address | IPv6Address, int]]:
    """Return the addresses and ports on which any of these processes accepts connections."""
    sockets = {link for pid in pids for link in _links(Path(f"/proc/{pid}/fd"))}
    found = []
    for name in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        for local, state, inode in ((words[1], words[3], words[9]) for words in map(str.split, lines)):
            if state == _LISTENS and f"socket:[{inode}]" in sockets:
                address, _, port = local.partition(":")
                found.append((_address(address), int(port, 16)))
    return found


def _links(folder: Path) -> Iterator[str]:
    try:
        for path in folder.iterdir():
            yield str(path.readlink())
    except OSError:
        return


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return the address of its hexadecimal form, in which each group of 32 bits is reversed."""
    groups = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    if len(groups) == 1:
        return IPv4Address(groups[0])
    address = IPv6Address(b"".join(groups))
    return address.ipv4_mapped or address
