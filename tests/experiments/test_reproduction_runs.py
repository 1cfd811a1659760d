"""Running chains: what is not repeated, failures, foreign folders, missing data, jobs of SLURM."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmvisionllama.errors import ExitStatus, LinkError, ReproductionError
from mmvisionllama.experiments.paper import load_table
from mmvisionllama.experiments.reproduction import Link, Profile, data_in, plan
from mmvisionllama.experiments.reproduction_runs import run_chain, submit_chain
from tests.tools.test_shell import INTERPRETER, executable

PROFILE = Profile()


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> Iterator[None]:
    for name in ("imagenet", "ade/ADEChallengeData2016"):
        (tmp_path / "data" / name).mkdir(parents=True)
    with data_in(tmp_path / "data"):
        yield


@pytest.fixture
def chain(tmp_path: Path) -> list[Link]:
    """Pre-training, segmentation, test."""
    return plan(load_table("table4").row("visionllama"), tmp_path / "out", profile=PROFILE)


def finish(link: Link) -> int:
    """Leave what the command of a link leaves."""
    if link.kind == "train":
        (link.folder / "summary.json").write_text(json.dumps({"status": "finished"}))
    for result in link.results:
        result.write_text("{}")
    return 0


def test_links_run_in_order_and_finished_ones_not_again(chain: list[Link]) -> None:
    ran: list[str] = []
    run_chain(chain, PROFILE, launch=lambda link: ran.append(link.title) or finish(link))
    assert ran == [link.title for link in chain]
    said: list[str] = []
    run_chain(chain, PROFILE, launch=lambda link: pytest.fail(link.title), say=said.append)
    assert all(text.endswith("finished before") for text in said) and len(said) == 3


def test_a_failed_link_says_what_to_do_and_the_chain_goes_on_from_there(chain: list[Link]) -> None:
    def fail_second(link: Link) -> int:
        link.log.write_text("a mistake\nCUDA out of memory\n")
        return 1 if link is chain[1] else finish(link)

    with pytest.raises(LinkError) as error:
        run_chain(chain, PROFILE, launch=fail_second)
    text = str(error.value)
    assert "link 2 of 3: train visionllama_upernet_ade20k failed with status 1; mend its cause" in text
    assert "CUDA out of memory" in text and str(chain[1].log) in text and chain[1].shell in text
    assert error.value.status == ExitStatus.FAILED
    ran: list[str] = []
    run_chain(chain, PROFILE, launch=lambda link: ran.append(link.kind) or finish(link))
    assert ran == ["train", "test"]


def test_a_stopped_training_is_no_failure_to_mend(chain: list[Link]) -> None:
    with pytest.raises(LinkError, match="was stopped and has saved everything; the same command goes on"):
        run_chain(chain, PROFILE, launch=lambda link: ExitStatus.STOPPED)


def test_a_link_that_leaves_no_result_has_failed_whatever_its_status(chain: list[Link]) -> None:
    with pytest.raises(LinkError, match=r"ended with status 0, but lacks .*epoch_800\.pth"):
        run_chain(chain, PROFILE, launch=lambda link: 0)


def test_a_folder_with_another_reproduction_is_left_alone(chain: list[Link], tmp_path: Path) -> None:
    run_chain(chain, PROFILE, launch=finish)
    record = json.loads(chain[0].record_file.read_text())
    record["request"]["sha256"] = "another"
    chain[0].record_file.write_text(json.dumps(record))
    with pytest.raises(ReproductionError, match=r"(?s)hold another reproduction.*another --out.*_800e_seed0"):
        run_chain(chain, PROFILE, launch=lambda link: pytest.fail(link.title))


def test_a_folder_with_something_else_is_left_alone(chain: list[Link]) -> None:
    chain[1].folder.mkdir(parents=True)
    (chain[1].folder / "notes.txt").touch()
    with pytest.raises(ReproductionError, match="or something else"):
        run_chain(chain, PROFILE, launch=lambda link: pytest.fail(link.title))


def test_missing_data_of_a_later_link_are_told_before_the_first(chain: list[Link], tmp_path: Path) -> None:
    (tmp_path / "data/ade/ADEChallengeData2016").rmdir()
    with pytest.raises(ReproductionError, match=r"missing; --data DIR.*\n.*ADEChallengeData2016; docs/data"):
        run_chain(chain, PROFILE, launch=lambda link: pytest.fail(link.title))
    assert not (tmp_path / "out").exists()


def test_a_missing_reference_batch_is_told_before_the_first_link(tmp_path: Path) -> None:
    links = plan(load_table("table8").row("visionllama_small"), tmp_path / "out", profile=PROFILE)
    with pytest.raises(ReproductionError, match=r"VIRTUAL_imagenet256_labeled\.npz; docs/reproduce\.md"):
        run_chain(links, PROFILE, launch=lambda link: pytest.fail(link.title))


SBATCH = """#!/bin/bash
count=$(cat "{folder}/count" 2>/dev/null || echo 100)
echo $((count + 1)) >"{folder}/count"
printf '%s\\n' "$*" >>"{folder}/jobs"
echo $((count + 1))
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SLURM's commands, which note what is submitted; nothing is queued."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    executable(folder, "sbatch", SBATCH.format(folder=folder))
    executable(folder, "srun", "#!/bin/bash\n")
    executable(folder, "squeue", f"#!/bin/bash\ncat {folder}/queue 2>/dev/null\n")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.setenv("PYTHON", str(executable(folder, "python", INTERPRETER)))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def test_slurm_gets_a_job_for_each_link_that_waits_for_the_one_before(
    cluster: Path, chain: list[Link]
) -> None:
    said: list[str] = []
    submit_chain(chain, PROFILE, {"partition": "gpu", "gpus": "4"}, say=said.append)
    first, second, third = (cluster / "jobs").read_text().splitlines()
    assert "--dependency" not in first
    assert "--dependency=afterok:101 --kill-on-invalid-dep=yes" in second
    assert "--dependency=afterok:102 --kill-on-invalid-dep=yes" in third
    for line in (first, second, third):
        assert "--partition gpu" in line and "--gres gpu:4" in line
    assert f"load_from={chain[0].results[0]}" in second and "_slurm_job.sh" in second
    assert "--wrap" in third and "test.sh" in third
    assert [text.rpartition("job ")[2] for text in said] == ["101", "102, after 101", "103, after 102"]


def test_what_is_finished_or_queued_is_not_submitted_again(cluster: Path, chain: list[Link]) -> None:
    submit_chain(chain, PROFILE, {})
    finish(chain[0])
    (cluster / "queue").write_text("RUNNING\n")
    said: list[str] = []
    submit_chain(chain, PROFILE, {}, say=said.append)
    assert said == [
        f"{chain[0].title}: finished before",
        f"{chain[1].title}: job 102, submitted before",
        f"{chain[2].title}: job 103, submitted before",
    ]
