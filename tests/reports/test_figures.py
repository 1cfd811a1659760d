import io

import numpy as np

from mmvisionllama.reports.figures import image_grid, image_rows, png_of


def test_a_picture_is_the_one_that_savefig_makes() -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    kept = [{"name": name, "image": image, "truth": image, "predicted": image} for name in "ab"]
    titles = {"image": "image", "truth": "truth", "predicted": "prediction"}
    for make in (lambda: image_rows(kept, titles, 0.5)[0], lambda: image_grid(3, 2, 1.0, 1.2)[0]):
        png = io.BytesIO()
        make().savefig(png, format="png")
        assert png_of(make()) == png.getvalue()
