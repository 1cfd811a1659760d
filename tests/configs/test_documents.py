"""Documents: every config and every study is named in one."""

from pathlib import Path

import pytest

from tests.configs.shipped import NAMES, ROOT, header

DOCUMENTS = {
    "cls": ["recipes.md"],
    "pretrain": ["recipes.md"],
    "ablation": ["recipes.md"],
    "det": ["detection.md"],
    "gen": ["generation.md"],
    "toy": ["recipes.md", "segmentation.md", "detection.md", "generation.md"],
}
# Second stages stand for their first ones where the document says how those are called.
FIRST_STAGES = ("_pre160_", "_pre192_")


@pytest.mark.parametrize("task", DOCUMENTS)
def test_every_config_of_a_task_is_named_in_its_document(task: str) -> None:
    text = "".join((ROOT / "docs" / document).read_text() for document in DOCUMENTS[task])
    stems = [Path(name).stem for name in NAMES if name.startswith(f"configs/{task}/")]
    if task == "ablation":
        stems = [stem for stem in stems if not any(stage in stem for stage in FIRST_STAGES)]
    assert stems
    assert [stem for stem in stems if f"{stem}`" not in text] == []


@pytest.mark.parametrize("document", ["recipes.md", "segmentation.md", "detection.md"])
def test_which_encoder_the_published_numbers_come_from_is_told_as_likely(document: str) -> None:
    text = " ".join((ROOT / "docs" / document).read_text().split())
    found = [x for x in text.split(". ") if "come from" in x and "wide" in x]
    assert found
    assert all("most likely" in x for x in found)


def test_a_number_of_relative_positions_is_told_as_one_wherever_these_are_not_in_the_model() -> None:
    for text in ((ROOT / "docs/segmentation.md").read_text(), header("configs/seg/vit_upernet_ade20k.py")):
        assert "48.13" in text
        assert "relative position biases" in text


@pytest.mark.parametrize(
    "file", sorted((ROOT / "configs" / "study").glob("*.py")), ids=lambda file: file.stem
)
def test_every_study_is_named_in_a_document(file: Path) -> None:
    documents = [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    assert any(f"configs/study/{file.name}" in text for text in documents)
