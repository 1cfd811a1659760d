"""Every config can be found in the document of its task."""

from pathlib import Path

import pytest

from tests.configs.shipped import NAMES, ROOT

DOCUMENTS = {
    "cls": "recipes.md",
    "pretrain": "recipes.md",
    "ablation": "recipes.md",
    "det": "detection.md",
    "gen": "generation.md",
}
# Second stages stand for their first ones where the document says how those are called.
FIRST_STAGES = ("_pre160_", "_pre192_")


@pytest.mark.parametrize("task", DOCUMENTS)
def test_every_config_of_a_task_is_named_in_its_document(task: str) -> None:
    text = (ROOT / "docs" / DOCUMENTS[task]).read_text()
    stems = [Path(name).stem for name in NAMES if name.startswith(f"configs/{task}/")]
    if task == "ablation":
        stems = [stem for stem in stems if not any(stage in stem for stage in FIRST_STAGES)]
    assert stems
    assert [stem for stem in stems if f"{stem}`" not in text] == []


@pytest.mark.parametrize(
    "file", sorted((ROOT / "configs" / "study").glob("*.py")), ids=lambda file: file.stem
)
def test_every_study_is_named_in_a_document(file: Path) -> None:
    documents = [path.read_text() for path in (ROOT / "docs").glob("*.md")]
    assert any(f"configs/study/{file.name}" in text for text in documents)
