"""The paper's tables as data: nothing is missing, chains exist, numbers are those of the configs' headers."""

import pytest

from mmvisionllama.errors import ReproductionError
from mmvisionllama.experiments.paper import Row, load_table, table_names
from tests.configs.shipped import NAMES, header

FIGURES = {"convergence_mae", "convergence_sit", "convergence_supervised"}
# Nobody ships these models: their numbers are published ones alone.
BASELINES = {"SemMAE", "SimMIM", "MFF-MAE", "MaskFeat", "CPVT-S-GAP"}
ROWS = [(name, row) for name in table_names() for row in load_table(name).rows]
RUNNABLE = [(name, row) for name, row in ROWS if row.branches]
# The first tables have numbers that headers of configs give, the others vary sizes and steps.
STATED = [
    (name, row)
    for name, row in RUNNABLE
    if name in {f"table{number}" for number in range(1, 10)}
    and not row.name.endswith("_released")
    and "doubtful" not in (row.note or "")  # headers leave such a number out
]


def named(pairs: list[tuple[str, Row]]) -> list[str]:
    return [f"{table}-{row.name}" for table, row in pairs]


def test_all_tables_and_figures_are_there() -> None:
    assert set(table_names()) == {f"table{number}" for number in range(1, 13)} | FIGURES


def test_every_row_has_a_chain_but_for_the_baselines_that_nobody_ships() -> None:
    alone = [row.label for _, row in ROWS if not row.branches]
    assert all(any(name in label for name in BASELINES) for label in alone)
    assert {name for name in BASELINES if not any(name in label for label in alone)} == set()
    assert len(RUNNABLE) > 100


def test_every_column_is_measured_by_a_branch_of_every_row() -> None:
    for name, row in RUNNABLE:
        columns = [column for column in load_table(name).columns if column.metric]
        assert {column.branch for column in columns} == {branch.name for branch in row.branches}


def test_trainings_of_chains_are_shipped_configs() -> None:
    used = {config for _, row in RUNNABLE for branch in row.branches for config in branch.trainings}
    assert used <= set(NAMES)


@pytest.mark.parametrize(("table", "row"), STATED, ids=named(STATED))
def test_a_published_number_is_that_of_the_header_of_its_config(table: str, row: Row) -> None:
    columns = load_table(table).columns
    main = ("accuracy/top1", "mIoU", "coco/bbox_mAP", "fid")
    for column, value in zip(columns, row.published, strict=True):
        if column.metric in main:
            branch = next(x for x in row.branches if x.name == column.branch)
            text = header(branch.trainings[-1])
            assert f"{value:g}" in text or f"{value:.1f}" in text or f"{value:.2f}" in text


def test_pretraining_of_a_row_is_as_long_as_its_name_says() -> None:
    (branch,) = load_table("table4").row("visionllama_1600e").branches
    assert branch.trainings == (
        "configs/pretrain/visionllama_mae_in1k_1600e.py",
        "configs/seg/visionllama_upernet_ade20k.py",
    )


def test_a_row_as_released_takes_every_config_of_that_name_also_where_its_size_differs() -> None:
    (branch,) = load_table("table2").row("visionllama_large_released").branches
    assert branch.trainings == (
        "configs/cls/visionllama_large_in1k_pre128_released.py",
        "configs/cls/visionllama_large_in1k_released.py",
    )


def test_guided_rows_guide_the_channels_that_gave_their_numbers() -> None:
    for row in load_table("table1").rows:
        (branch,) = row.branches
        guided = branch.evaluation.guidance == 1.5
        assert guided == ("guided" in row.name)
        assert branch.evaluation.cfg_options == (("model.guidance.channels=first_three",) if guided else ())


@pytest.mark.parametrize(
    ("table", "row", "message"),
    [
        ("tabel4", None, r"no table 'tabel4'\. Did you mean 'table4'\? There are table1, table2"),
        ("table4", "visionlama", r"table4 has no row 'visionlama'\. Did you mean 'visionllama'\? It has"),
        ("table4", "semmae", r"'semmae' is published alone: nobody ships ViT-B, SemMAE.*Rows with a chain: "),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(table: str, row: str | None, message: str) -> None:
    with pytest.raises(ReproductionError, match=message):
        load_table(table).row(row)
