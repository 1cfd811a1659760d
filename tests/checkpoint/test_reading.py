import functools
import os
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import CheckpointLoader

from mmvisionllama.checkpoint import make_mmengine_read_safely, read_checkpoint, weights_of
from mmvisionllama.errors import CheckpointError
from mmvisionllama.files import sha256_of


class RunsCode:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.witness),)


def save(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_come_back_from_either_file_format(tmp_path: Path, zipped: bool, lazy: bool) -> None:
    weight = torch.arange(3.0)
    path = save(tmp_path / "a.pth", {"w": weight}, _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_checkpoint(path, lazy=lazy)["w"], weight)


def test_the_logged_history_of_mmengine_is_read(tmp_path: Path) -> None:
    hub = MessageHub("read_checkpoint")
    for loss in (2.0, 4.0):
        hub.update_scalar("train/loss", loss)
    path = save(tmp_path / "a.pth", {"message_hub": hub.state_dict()})
    history = read_checkpoint(path)["message_hub"]["log_scalars"]["train/loss"]
    assert history.mean() == 3.0


def test_code_in_a_checkpoint_is_named_and_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    path = save(tmp_path / "a.pth", {"w": torch.ones(1), "x": RunsCode(witness)})
    with pytest.raises(CheckpointError, match=r"mkdir.*could run code"):
        read_checkpoint(path)
    assert not witness.exists()


def test_mmengine_reads_safely_once_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    witness = tmp_path / "ran"
    path = save(tmp_path / "a.pth", {"x": RunsCode(witness)})
    make_mmengine_read_safely()
    with pytest.raises(CheckpointError, match="mkdir"):
        CheckpointLoader.load_checkpoint(str(path))
    assert not witness.exists()


def test_getattr_reaches_nothing_but_the_methods_of_the_history(tmp_path: Path) -> None:
    class Reaches:
        def __reduce__(self) -> tuple[Any, ...]:
            return getattr, (torch.Tensor, "numpy")

    with pytest.raises(CheckpointError, match="getattr"):
        read_checkpoint(save(tmp_path / "a.pth", {"x": Reaches()}))


def test_a_missing_file_is_an_error_with_the_nearest_names(tmp_path: Path) -> None:
    save(tmp_path / "iter_2000.pth", {})
    with pytest.raises(
        CheckpointError, match=r"iter_200\.pth does not exist; nearest files there: iter_2000"
    ):
        read_checkpoint(tmp_path / "iter_200.pth")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nor does the folder"):
        read_checkpoint(tmp_path / "none" / "a.pth")


def test_a_truncated_file_is_called_cut_off(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", {"w": torch.zeros(1000)})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"\(2000 bytes\) is cut off"):
        read_checkpoint(path)


def test_a_truncated_file_of_the_old_format_is_called_damaged(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", {"w": torch.zeros(1000)}, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "named"),
    [(b"<!DOCTYPE html><p>Sign in</p>", "a web page"), (b"weights", "begins with b'weights'"), (b"", "b''")],
)
def test_a_file_that_is_no_checkpoint_is_described(tmp_path: Path, content: bytes, named: str) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=named):
        read_checkpoint(path)


class _Handler(SimpleHTTPRequestHandler):
    """Serves files; of those below ``cut`` one byte less than it promises."""

    def do_GET(self) -> None:
        if not self.path.startswith("/cut/"):
            super().do_GET()
            return
        content = Path(self.directory, self.path.removeprefix("/cut/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:-1])


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a web server on this machine that offers what is in ``tmp_path``."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    handler = functools.partial(_Handler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_checkpoint_is_read_from_an_address(tmp_path: Path, address: str) -> None:
    save(tmp_path / "a.pth", {"w": torch.ones(2)})
    assert torch.equal(read_checkpoint(f"{address}/a.pth")["w"], torch.ones(2))


def test_code_from_an_address_is_named_and_not_run(tmp_path: Path, address: str) -> None:
    witness = tmp_path / "ran"
    save(tmp_path / "a.pth", {"x": RunsCode(witness)})
    with pytest.raises(CheckpointError, match=r"mkdir.*could run code"):
        read_checkpoint(f"{address}/a.pth")
    assert not witness.exists()


def test_an_address_without_a_checkpoint_is_an_error(address: str) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pth cannot be downloaded: HTTP Error 404"):
        read_checkpoint(f"{address}/none.pth")


def test_files_of_one_name_at_two_addresses_are_two(tmp_path: Path, address: str) -> None:
    for folder, value in (("one", 1.0), ("other", 2.0)):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "weights.pth", {"w": torch.tensor(value)})
    found = [read_checkpoint(f"{address}/{x}/weights.pth")["w"].item() for x in ("one", "other", "one")]
    assert found == [1.0, 2.0, 1.0]
    (tmp_path / "one" / "weights.pth").unlink()  # from now on the cache alone has it
    assert read_checkpoint(f"{address}/one/weights.pth")["w"] == 1.0
    with pytest.raises(CheckpointError, match="404"):
        read_checkpoint(f"{address}/one/weights.pth?version=2")


def test_mmengine_takes_an_address_from_the_same_cache(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    make_mmengine_read_safely()
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "weights.pth", {"of": folder})
        assert CheckpointLoader.load_checkpoint(f"{address}/{folder}/weights.pth")["of"] == folder


def test_a_cached_file_that_was_damaged_is_downloaded_again(tmp_path: Path, address: str) -> None:
    save(tmp_path / "a.pth", {"w": torch.ones(2)})
    read_checkpoint(f"{address}/a.pth")
    (cached,) = (tmp_path / "cache").rglob("a.pth")
    cached.write_bytes(cached.read_bytes()[:-9])
    assert torch.equal(read_checkpoint(f"{address}/a.pth")["w"], torch.ones(2))


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        ("w-{sha}.pth", True),
        ("w-20220101.pth", True),
        ("w-abcdef12.pth", False),
        ("w-0000000000.pth", False),
    ],
)
def test_the_sha256_in_a_name_is_held_against_the_content(
    tmp_path: Path, address: str, name: str, is_read: bool
) -> None:
    path = save(tmp_path / "a.pth", {"w": torch.ones(2)})
    path = path.rename(tmp_path / name.format(sha=sha256_of(path)[:8]))
    if is_read:
        assert read_checkpoint(f"{address}/{path.name}").keys() == {"w"}
        return
    with pytest.raises(CheckpointError, match="not what its name promises: its SHA-256 begins with"):
        read_checkpoint(f"{address}/{path.name}")
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_a_download_that_ends_early_is_an_error_and_leaves_nothing(tmp_path: Path, address: str) -> None:
    save(tmp_path / "a.pth", {"w": torch.ones(2)})
    with pytest.raises(CheckpointError, match=r"it ended after [\d,]+ of [\d,]+ bytes"):
        read_checkpoint(f"{address}/cut/a.pth")
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_weights_are_found_below_state_dict_and_without_the_wrapper_prefix() -> None:
    weights = weights_of({"state_dict": {"module.w": torch.ones(1)}, "meta": {}}, "a.pth")
    assert list(weights) == ["w"]


def test_a_checkpoint_without_weights_names_what_it_has() -> None:
    with pytest.raises(CheckpointError, match="'model', 'optimizer'"):
        weights_of({"model": {"w": torch.ones(1)}, "optimizer": {}}, "a.pth")
