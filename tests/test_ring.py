"""Rings of bytes in mapped files."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from logpool._dask import ring as rings


def make(tmp_path: Path, capacity: int = 100, name: str = "one") -> rings.Ring:
    return rings.create(str(tmp_path / "rings"), name, capacity, "tcp://origin")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    ring = make(tmp_path)
    source, written, read = random.Random(1), bytearray(), bytearray()
    for _ in range(500):
        data = source.randbytes(source.randrange(1, 70))
        count = ring.write(data)
        assert count == min(len(data), 100 - (len(written) - len(read)))
        written += data[:count]
        stop = source.randint(len(read), len(written))
        read += ring.read(len(read), stop)
        ring.acknowledge(stop)
    assert written.startswith(read)
    assert ring.written == len(written) > 10_000
    ring.close(remove=True)


def test_acknowledgements_never_go_back_or_beyond(tmp_path: Path) -> None:
    ring = make(tmp_path)
    ring.write(b"x" * 50)
    for offset, acked in ((20, 20), (10, 20), (51, 20), (50, 50)):
        ring.acknowledge(offset)
        assert ring.acked == acked
    ring.close(remove=True)


def test_a_ring_outlives_its_writer(tmp_path: Path) -> None:
    pid = os.fork()
    if not pid:
        try:
            ring = make(tmp_path)
            ring.write(b"x" * 90)
            ring.acknowledge(80)
            ring.write(b"what is left")
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    [(name, ring)] = rings.adopt(str(tmp_path / "rings"), "on")
    assert (name, ring.origin) == ("one", "tcp://origin")
    assert ring.read(ring.acked, ring.written) == b"x" * 10 + b"what is left"
    # The other one has adopted it.
    assert rings.adopt(str(tmp_path / "rings"), "one") == []
    ring.close(remove=True)
    assert not (tmp_path / "rings").exists()


def test_a_ring_whose_writer_lives_is_not_adopted(tmp_path: Path) -> None:
    ring = make(tmp_path)
    assert rings.adopt(str(tmp_path / "rings"), "one") == []
    ring.close(remove=False)
    [(_, ring)] = rings.adopt(str(tmp_path / "rings"), "one")
    ring.close(remove=True)


def test_the_lock_ends_with_the_writer_and_not_with_its_children(tmp_path: Path) -> None:
    readable, writable = os.pipe()
    begun, begins = os.pipe()
    ring = make(tmp_path)
    pid = os.fork()
    if not pid:
        os.close(writable)
        os.write(begins, b"x")
        os.read(readable, 1)  # Until the parent closes its end.
        os._exit(0)
    os.read(begun, 1)
    for descriptor in (readable, begun, begins):
        os.close(descriptor)
    ring.close(remove=False)
    [(_, adopted)] = rings.adopt(str(tmp_path / "rings"), "one")
    adopted.close(remove=True)
    os.close(writable)
    os.waitpid(pid, 0)


def test_what_is_no_ring_is_left_alone(tmp_path: Path) -> None:
    make(tmp_path).close(remove=False)
    for name, text in (("empty.ring", b""), ("other.ring", b"x" * 5000), ("one.txt", b"")):
        (tmp_path / "rings" / name).write_bytes(text)
    [(name, ring)] = rings.adopt(str(tmp_path / "rings"), "")
    assert name == "one"
    ring.close(remove=True)
    assert rings.adopt(str(tmp_path / "nowhere"), "") == []


def test_old_rings_are_removed(tmp_path: Path) -> None:
    make(tmp_path).close(remove=False)
    living = make(tmp_path, name="living")
    for name in ("one", "living"):
        os.utime(tmp_path / "rings" / f"{name}.ring", (0, 0))
    make(tmp_path, name="new").close(remove=False)
    rings.remove_old(str(tmp_path / "rings"), 100)
    assert sorted(path.name for path in (tmp_path / "rings").iterdir()) == ["living.ring", "new.ring"]
    living.close(remove=True)


def test_a_ring_that_was_written_into_of_late_is_not_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "TOUCH", 0.0)
    ring = make(tmp_path)
    os.utime(tmp_path / "rings" / "one.ring", (0, 0))
    ring.write(b"of late")
    ring.close(remove=False)
    rings.remove_old(str(tmp_path / "rings"), 100)
    [(_, adopted)] = rings.adopt(str(tmp_path / "rings"), "one")
    assert adopted.read(0, 7) == b"of late"
    adopted.close(remove=True)


def test_an_old_ring_whose_writer_was_killed_when_it_made_it_is_removed(tmp_path: Path) -> None:
    make(tmp_path).close(remove=False)
    (tmp_path / "rings" / "one.ring").rename(tmp_path / "rings" / "one.ring.new")
    make(tmp_path, name="other").close(remove=True)
    assert (tmp_path / "rings" / "one.ring.new").exists()
    os.utime(tmp_path / "rings" / "one.ring.new", (0, 0))
    rings.remove_old(str(tmp_path / "rings"), 100)
    assert not (tmp_path / "rings").exists()


def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rings").mkdir(mode=0o755)
    with pytest.raises(PermissionError):
        make(tmp_path)
