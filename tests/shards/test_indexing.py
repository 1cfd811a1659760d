"""Tar files of others are indexed as they are; those of ours are read by webdataset."""

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine import fileio

from mmvisionllama.datasets.shard_index import INDEX, read_index
from mmvisionllama.errors import DataError, LaunchError, UserError
from mmvisionllama.shards.indexing import index_shards
from mmvisionllama.shards.tar_members import members_of
from tests.shards.trees import CLASSES, in_folders, in_shards

JPEG = b"\xff\xd8 not looked at \xff\xd9"


def write_tar(path: Path, files: dict[str, bytes], change: Callable = lambda entry: None) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            change(entry)
            archive.addfile(entry, io.BytesIO(content))


def test_webdataset_reads_our_shards(tree: Path, shards: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    names = sorted(map(str, shards.glob("train-*.tar")))
    samples = {
        int(x["__key__"]): (x.get("jpg") or x["png"], x["cls"])
        for x in webdataset.WebDataset(names, shardshuffle=False)
    }
    folders = in_folders(tree)
    infos = [folders.get_data_info(i) for i in range(len(folders))]
    assert [samples[i] for i in range(24)] == [
        (Path(x["img_path"]).read_bytes(), str(x["gt_label"]).encode()) for x in infos
    ]


def test_shards_of_webdataset_are_indexed_and_read(tree: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    images = sorted((tree / "train").rglob("*.JPEG"))
    with webdataset.ShardWriter(f"{tmp_path}/birds-%04d.tar", maxcount=9, verbose=0) as writer:
        for i, file in enumerate(images):
            label = CLASSES.index(file.parent.name)
            fields = {"cls": label} if i % 2 else {"json": {"label": label, "text": "x"}}
            writer.write({"__key__": f"{file.parent.name}/{i:04}", "jpg": file.read_bytes(), **fields})
    index = index_shards(tmp_path, classes=CLASSES, workers=2)
    dataset = in_shards(tmp_path, "birds")
    assert index == read_index(tmp_path) and len(index.parts["birds"].shards) == 3
    assert [fileio.get(x["img_path"]) for x in dataset.data_list] == [x.read_bytes() for x in images]
    assert [CLASSES[x] for x in dataset.get_gt_labels()] == [x.parent.name for x in images]
    assert dataset.data_list[1]["img_path"].endswith("/cat/0001.jpg") and dataset.CLASSES == CLASSES
    with pytest.raises(LaunchError, match=r"has index.json already: remove it first"):
        index_shards(tmp_path)


def test_the_index_of_our_shards_can_be_made_anew(tree: Path, shards: Path, tmp_path: Path) -> None:
    for path in shards.glob("*.tar"):
        (tmp_path / path.name).symlink_to(path)
    index_shards(tmp_path, classes=CLASSES)
    one, other = in_shards(shards), in_shards(tmp_path)
    for data in (one, other):  # in the order of the shards, not of the folders
        assert len(data) == 24
    pairs = [{(fileio.get(x["img_path"]), x["gt_label"]) for x in data.data_list} for data in (one, other)]
    assert pairs[0] == pairs[1]


def test_files_without_image_or_label_give_no_sample_or_no_label(tmp_path: Path) -> None:
    files = {"a.jpg": JPEG, "a.txt": b"a cat", "b.txt": b"no image", "noending": b"?"}
    write_tar(tmp_path / "plain.tar", {**files, "c.png": JPEG, "c.json": b'{"caption": "a dog"}'})
    assert index_shards(tmp_path).parts["plain"].samples == 2
    assert in_shards(tmp_path, "", with_label=False).get_data_info(0).keys() == {"img_path", "sample_idx"}
    with pytest.raises(DataError, match="plain has no labels; set with_label=False"):
        in_shards(tmp_path, "plain")


WRONG = {
    "label of letters": ({"a.jpg": JPEG, "a.cls": b"cat"}, "a.cls' holds 'cat', and not a label"),
    "negative label": ({"a.jpg": JPEG, "a.cls": b"-3"}, "not a label"),
    "huge label": ({"a.jpg": JPEG, "a.cls": b"9" * 30}, "not a label"),
    "label of a fraction": ({"a.jpg": JPEG, "a.json": b'{"label": 1.5}'}, "not a label"),
    "deep label": ({"a.jpg": JPEG, "a.json": b"[" * 60_000}, "not a label"),
    "unknown label": ({"a.jpg": JPEG, "a.cls": b"3"}, "has label 3, and there are 3 classes"),
    "one label missing": ({"a.jpg": JPEG, "a.cls": b"1", "b.jpg": JPEG}, "1 of 2 samples .* have no label"),
    "a name twice": ({"a.jpg": JPEG, "a.JPG": JPEG}, "has 'a.JPG' twice"),
    "no images": ({"a.txt": b"x"}, "part x has no image"),
}


@pytest.mark.parametrize(("files", "message"), WRONG.values(), ids=WRONG)
def test_wrong_samples_are_refused_with_their_name(files: dict, message: str, tmp_path: Path) -> None:
    write_tar(tmp_path / "x-0.tar", files)
    with pytest.raises(DataError, match=message):
        index_shards(tmp_path, classes=CLASSES)
    assert not (tmp_path / INDEX).exists()


def retyped(kind: bytes, link: str = "/etc/passwd") -> Callable[[tarfile.TarInfo], None]:
    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname, entry.size = kind, link, 0

    return change


def sized(size: int) -> Callable[[Path], None]:
    """Forge the size in the first header, with its checksum."""

    def forge(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[124:136] = (
            b"%011o\0" % size
            if 0 <= size < 8**11
            else b"\x80" * (size > 0) + size.to_bytes(11 + (size < 0), "big", signed=True)
        )
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
        path.write_bytes(content)

    return forge


def cut(end: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[:end])


def struck(place: int) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[:place] + b"x" + path.read_bytes()[place + 1 :])


FORGED = {
    "a symbolic link": (retyped(tarfile.SYMTYPE), None, "is a link, a device or a file with holes"),
    "a hard link": (retyped(tarfile.LNKTYPE), None, "is a link, a device"),
    "a device": (retyped(tarfile.CHRTYPE), None, "is a link, a device"),
    "a pipe": (retyped(tarfile.FIFOTYPE), None, "is a link, a device"),
    "a size beyond the end": (None, sized(10**9), "is cut off, or damaged"),
    "a huge size": (None, sized(2**80), "is cut off, or damaged"),
    "a negative size": (None, sized(-1024), "is damaged"),
    "a cut file": (None, cut(600), "is cut off|no sound tar file|is damaged"),
    "a cut header": (None, cut(1224), "begins no file"),
    "a damaged header": (None, struck(1024), "byte 1,024 begins no file"),
    "a damaged first header": (None, struck(3), "no sound tar file"),
    "compressed": (None, lambda x: x.write_bytes(b"\x1f\x8b\x08" + bytes(2000)), "no sound tar file"),
    "empty": (None, lambda x: x.write_bytes(b""), "no sound tar file"),
    "a folder": (None, lambda x: x.unlink() or x.mkdir(), "is a folder"),
}


@pytest.mark.parametrize(("change", "forge", "message"), FORGED.values(), ids=FORGED)
def test_forged_and_damaged_tar_files_are_refused(
    change: Callable | None, forge: Callable | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "x-0.tar"
    write_tar(path, {"a.jpg": JPEG, "b.jpg": JPEG}, change or (lambda entry: None))
    if forge:
        forge(path)
    with pytest.raises(DataError, match=message):
        index_shards(tmp_path)


def test_random_damage_ends_in_a_reason_or_in_samples_inside_of_the_file(tmp_path: Path) -> None:
    path, rng = tmp_path / "x-0.tar", random.Random(0)
    write_tar(path, {f"{i}/{'n' * 120}.{x}": JPEG for i in range(3) for x in ("jpg", "cls")})
    whole = path.read_bytes()
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content) // 2)] = rng.choice((0, 255, 128, rng.randrange(256)))
        path.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])
        try:
            members = members_of(path)
        except UserError:
            continue
        assert all(x.offset > 0 <= x.size and x.offset + x.size <= path.stat().st_size for x in members)
