"""Headers of image files, and whether their pictures are whole."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmvisionllama.datasets.image_files import ended, is_cut_off, read_header
from mmvisionllama.datasets.image_loading import LoadImageFromFile

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
EXIF = Image.Exif()
EXIF[0x0112] = 6
FORMATS = {
    "jpg": {},
    "progressive": dict(progressive=True),
    "restarts": dict(restart_marker_blocks=2, quality=95),
    "thumbnail": dict(exif=b"Exif\0\0" + bytes(40) + b"\xff\xd8\xff\xda\0\2\xff\xd9"),
    "png": {},
}


def content(kind: str, pixels: np.ndarray = PIXELS) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG" if kind == "png" else "JPEG", **FORMATS[kind])
    return file.getvalue()


def test_a_picture_that_is_whole_and_any_cut_through_it() -> None:
    for kind in FORMATS:
        whole = content(kind)
        assert ended(whole) == whole
        end = 12 if kind == "png" else 2
        cuts = [*(len(whole) * share // 100 for share in range(5, 100, 5)), len(whole) - end - 1]
        assert [cut for cut in cuts if not is_cut_off(whole[:cut])] == []


def film(number: int) -> bytes:
    """Return bytes as of an MP4 behind a picture, with markers of a JPEG among them."""
    random = np.random.default_rng(number)
    return (
        b"\0\0\0\x18ftypmp42"
        + random.bytes(3000)
        + b"\xff\xda\0\x0c"
        + random.bytes(200)
        + b"\xff\xd8\xff\xe1"
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_behind_the_picture_do_not_matter(kind: str, tmp_path: Path) -> None:
    whole = content(kind)
    assert [number for number in range(20) if is_cut_off(whole + film(number))] == []
    expected = LoadImageFromFile()({"img_path": "x", "img_bytes": whole})["img"]
    loaded = LoadImageFromFile()({"img_path": "x", "img_bytes": whole + film(0)})["img"]
    assert np.array_equal(loaded, expected)
    assert [cut for cut in (50, 90) if not is_cut_off(whole[: len(whole) * cut // 100])] == []


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "png"])
@pytest.mark.parametrize("backend", ["cv2", "pillow"])
def test_a_jpeg_that_lacks_the_end_marker_alone_is_loaded(kind: str, backend: str) -> None:
    whole = content(kind)
    loader = LoadImageFromFile(imdecode_backend=backend)
    found = loader({"img_path": "x", "img_bytes": whole[:-2]})["img"]
    assert np.array_equal(found, loader({"img_path": "x", "img_bytes": whole})["img"])


HEADERS = {
    "x.jpg": (PIXELS, {}, ((60, 40), False, 8, "RGB")),
    "gray.jpg": (PIXELS[..., 0], {}, ((60, 40), False, 8, "L")),
    "turned.jpg": (PIXELS, dict(exif=EXIF), ((60, 40), True, 8, "RGB")),
    "x.png": (PIXELS, {}, ((60, 40), False, 8, "RGB")),
    "turned.png": (PIXELS, dict(exif=EXIF), ((60, 40), True, 8, "RGB")),
    "deep.png": (PIXELS[..., 0].astype(np.uint16), {}, ((60, 40), False, 16, "I;16")),
    "bits.png": (PIXELS[..., 0] > 99, {}, ((60, 40), False, 1, "1")),
    "deep.tif": (PIXELS[..., 0].astype(np.uint16), {}, ((60, 40), False, 16, "I;16")),
    "x.webp": (PIXELS, {}, ((60, 40), False, 8, "RGB")),
    "x.bmp": (PIXELS, {}, ((60, 40), False, 8, "RGB")),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_says_size_turn_bits_and_kind(tmp_path: Path, name: str) -> None:
    pixels, options, (size, turned, bits, mode) = HEADERS[name]
    Image.fromarray(pixels).save(tmp_path / name, **options)
    header = read_header(tmp_path / name)
    assert (header.size, header.turned, header.bits, header.mode) == (size, turned, bits, mode)
    with Image.open(tmp_path / name) as image:
        assert (header.size, header.mode) == (image.size, image.mode)


def test_a_picture_that_is_cut_off_has_no_header(tmp_path: Path) -> None:
    for kind in FORMATS:
        whole = content(kind)
        (tmp_path / "x").write_bytes(whole + film(1))
        assert read_header(tmp_path / "x").size == (60, 40)
        (tmp_path / "x").write_bytes(whole[:-30])
        assert read_header(tmp_path / "x") is None


@pytest.mark.parametrize(
    "spoilt", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"<html>", content("png")[:-20]]
)
def test_what_has_no_header_of_an_image(tmp_path: Path, spoilt: Any) -> None:
    (tmp_path / "x.jpg").write_bytes(spoilt)
    assert read_header(tmp_path / "x.jpg") is None
    assert read_header(tmp_path / "none.jpg") is None
