"""The set-up script runs for real here, over a stand-in for Python that records what it is asked."""

import os
import runpy
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
INPUTS = ("requirements.txt", "constraints.txt", "setup.py", "tools/make_env.sh")

# Has the version that a file says, makes environments with copies of itself, fails where $STATE says so.
PYTHON = """#!/bin/bash
echo "$*" >>"$STATE/calls"
if [[ -f $STATE/fail ]] && [[ $* == $(<"$STATE/fail") ]]; then echo "ERROR: it went wrong"; exit 1; fi
if [[ -f $STATE/interrupt ]] && [[ $* == $(<"$STATE/interrupt") ]]; then
    echo $$ >"$STATE/pid"
    kill -INT $PPID
    exec sleep 60
fi
if [[ -f $STATE/say ]] && [[ $* == $(<"$STATE/say") ]]; then
    printf 'one line\\nhalf a line'
    sleep 1.5
    printf ', then the rest, and no end'
fi
case $* in
    *version_info*) cat "$(dirname "$0")/version" ;;
    "-m venv --clear "*)
        mkdir -p "$4/bin"
        cp "$0" "$4/bin/python"
        cp "$(dirname "$0")/version" "$4/bin" ;;
esac
"""
# No compiler is among them.
TOOLS = (
    "bash",
    "env",
    "cat",
    "cksum",
    "df",
    "awk",
    "tail",
    "sleep",
    "mkdir",
    "mkfifo",
    "rm",
    "mv",
    "cp",
    "dirname",
)


class Checkout:
    """A copy of what set-up reads, below a PATH that holds nothing but the commands it may use."""

    def __init__(self, folder: Path) -> None:
        self.root, self.bin, self.state = folder / "checkout", folder / "bin", folder / "state"
        for name in INPUTS:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        self.state.mkdir()
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.command("python3", PYTHON)
        self.set_version("3.11")

    def command(self, name: str, text: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def set_version(self, version: str) -> None:
        (self.bin / "version").write_text(f"{version}\n")

    def flag(self, name: str, text: str = "") -> Path:
        path = self.state / name
        path.write_text(text)
        return path

    def setup(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        (self.state / "calls").write_text("")
        return subprocess.run(
            [str(self.root / "tools/make_env.sh"), *arguments],
            env={"PATH": str(self.bin), "STATE": str(self.state), **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def installs(self) -> list[str]:
        calls = (self.state / "calls").read_text().splitlines()
        return [call for call in calls if "pip install" in call]

    def creations(self) -> int:
        return (self.state / "calls").read_text().count("-m venv --clear")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_a_fresh_environment_gets_pip_then_all_that_is_pinned_without_a_compiler(
    checkout: Checkout, version: str
) -> None:
    checkout.set_version(version)
    done = checkout.setup()
    assert done.returncode == 0, done.stderr
    assert f"building .venv with Python {version}" in done.stdout
    pip, everything = checkout.installs()
    assert pip.endswith(f"-c {checkout.root}/constraints.txt --upgrade pip")
    assert everything.endswith(f"-r {checkout.root}/requirements.txt -e {checkout.root}")


@pytest.mark.parametrize("forbidden", [False, True])
def test_all_is_compiled_at_once_where_python_may_not_keep_what_it_compiles(
    checkout: Checkout, forbidden: bool
) -> None:
    done = checkout.setup(**({"PYTHONDONTWRITEBYTECODE": "1"} if forbidden else {}))
    assert done.returncode == 0, done.stderr
    calls = (checkout.state / "calls").read_text()
    assert (
        f"-m compileall -q -j 0 {checkout.root}/.venv/lib {checkout.root}/mmvisionllama" in calls
    ) == forbidden


def test_a_finished_environment_is_left_alone_without_a_word(checkout: Checkout) -> None:
    checkout.setup()
    done = checkout.setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert checkout.installs() == []


@pytest.mark.parametrize("name", INPUTS)
def test_a_changed_input_updates_the_environment_in_place(checkout: Checkout, name: str) -> None:
    checkout.setup()
    with (checkout.root / name).open("a") as file:
        file.write("# changed\n")
    done = checkout.setup()
    assert "requirements changed: updating .venv" in done.stdout
    assert (len(checkout.installs()), checkout.creations()) == (2, 0)


def test_a_failing_step_shows_its_output_and_the_next_run_continues(checkout: Checkout) -> None:
    failure = checkout.flag("fail", "*requirements.txt*")
    done = checkout.setup()
    assert done.returncode == 1
    assert "ERROR: it went wrong" in done.stderr
    assert f"all output is in {checkout.root}/.venv/setup.log" in done.stderr.splitlines()[-1]

    failure.unlink()
    done = checkout.setup()
    assert done.returncode == 0
    assert ".venv is half-built (set-up did not finish): continuing" in done.stdout
    assert checkout.creations() == 0
    assert checkout.setup().stdout == ""


def test_an_interrupted_step_says_that_the_next_run_continues(checkout: Checkout) -> None:
    checkout.flag("interrupt", "*requirements.txt*")
    assert_one_clear_line(checkout.setup(), "interrupted", "make setup continues")
    assert not (checkout.root / ".venv/.complete").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int((checkout.state / "pid").read_text()), 0)


def test_all_output_of_a_step_is_in_the_log(checkout: Checkout) -> None:
    checkout.flag("say", "*requirements.txt*")
    assert checkout.setup().returncode == 0
    assert (
        "one line\nhalf a line, then the rest, and no end" in (checkout.root / ".venv/setup.log").read_text()
    )


def test_an_environment_interrupted_before_pip_was_there_is_started_afresh(checkout: Checkout) -> None:
    (checkout.root / ".venv/bin").mkdir(parents=True)
    done = checkout.setup()
    assert ".venv does not run with Python 3.11: starting it afresh" in done.stdout
    assert (done.returncode, checkout.creations()) == (0, 1)


def test_another_python_version_starts_the_environment_afresh(checkout: Checkout) -> None:
    checkout.setup()
    checkout.set_version("3.12")
    assert ".venv does not run with Python 3.12: starting it afresh" in checkout.setup().stdout
    assert checkout.creations() == 1


def test_a_moved_checkout_is_set_up_again(checkout: Checkout) -> None:
    checkout.setup()
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))
    checkout.setup()
    assert checkout.installs()[-1].endswith(f"-e {checkout.root}")


def test_again_runs_every_step_over_a_finished_environment(checkout: Checkout) -> None:
    checkout.setup()
    done = checkout.setup("--again")
    assert done.returncode == 0
    assert len(checkout.installs()) == 2


def test_an_unknown_argument_is_an_error_that_names_the_allowed_one(checkout: Checkout) -> None:
    assert_one_clear_line(checkout.setup("--force"), "'--force'", "allowed: --again")


@pytest.mark.parametrize("version", ["2.7", "3.9", "3.14"])
def test_an_unsupported_python_is_refused_and_a_supported_one_named(checkout: Checkout, version: str) -> None:
    checkout.set_version(version)
    checkout.command("python3.10", "#!/bin/bash\necho 3.10")
    done = checkout.setup()
    assert_one_clear_line(done, f"'python3' is {version}.", "Fix: PYTHON=python3.10 make setup")
    assert not (checkout.root / ".venv").exists()


def test_a_missing_python_is_refused(checkout: Checkout) -> None:
    assert_one_clear_line(
        checkout.setup(PYTHON="python3.99"), "'python3.99' is missing", "Fix: install Python 3.11"
    )


def test_a_python_without_venv_is_refused_with_the_package_to_install(checkout: Checkout) -> None:
    checkout.flag("fail", "*import venv*")
    assert_one_clear_line(checkout.setup(), "no venv", "Fix: sudo apt-get install python3.11-venv")


def test_a_full_disk_is_refused_before_anything_is_written(checkout: Checkout) -> None:
    checkout.command("df", "#!/bin/bash\necho header\necho /dev/x 100 90 17 99% /")
    assert_one_clear_line(checkout.setup(), "17 MB free", "3000 MB are needed")
    assert not (checkout.root / ".venv").exists()


def package_metadata() -> dict[str, object]:
    found: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", found.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return found


def requirement_lines(name: str) -> list[Requirement]:
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def test_the_ranges_of_the_package_admit_the_pins() -> None:
    found = package_metadata()
    extras = found["extras_require"].values()
    ranges = [*found["install_requires"], *(line for extra in extras for line in extra)]
    ranges_by_name = {canonicalize_name(x.name): x.specifier for x in map(Requirement, ranges)}
    pins = requirement_lines("requirements.txt")
    assert {canonicalize_name(x.name) for x in pins} == set(ranges_by_name)
    for x in pins:
        (exact,) = x.specifier
        assert exact.version in ranges_by_name[canonicalize_name(x.name)], x


def test_every_distribution_that_the_requirements_pull_in_is_pinned() -> None:
    pins = [*requirement_lines("requirements.txt"), *requirement_lines("constraints.txt")]
    pinned = {canonicalize_name(x.name) for x in pins if x.marker is None or x.marker.evaluate()}
    reached: set[str] = set()
    ahead = [canonicalize_name(x.name) for x in requirement_lines("requirements.txt")]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            children = map(Requirement, metadata.requires(name) or []) if is_installed(name) else ()
            ahead += [
                canonicalize_name(x.name)
                for x in children
                if x.marker is None or x.marker.evaluate({"extra": ""})
            ]
    # Torch pins the packages of its CUDA build itself.
    unpinned = {x for x in reached - pinned if not x.startswith(("nvidia-", "cuda-", "triton"))}
    assert len(reached) > 50
    assert unpinned == set()


def test_every_pin_admits_the_first_release_of_this_python() -> None:
    """A pin that wants a later one cannot be installed on the Python of a distribution."""
    first = f"{sys.version_info.major}.{sys.version_info.minor}.0"
    pins = [*requirement_lines("requirements.txt"), *requirement_lines("constraints.txt")]
    installed = [x.name for x in pins if (x.marker is None or x.marker.evaluate()) and is_installed(x.name)]
    wanted = {x: metadata.metadata(x).get("Requires-Python") or "" for x in installed}
    assert len(wanted) > 100
    assert [x for x, versions in wanted.items() if first not in SpecifierSet(versions)] == []


def test_an_extra_that_a_command_names_brings_the_library_that_is_missing() -> None:
    from mmvisionllama.checks.environment import distribution_of
    from mmvisionllama.compat import EXTRAS

    found = package_metadata()
    core = {canonicalize_name(Requirement(x).name) for x in found["install_requires"]}
    assert not core & {canonicalize_name(distribution_of(x)) for names in EXTRAS.values() for x in names}
    for extra, modules in EXTRAS.items():
        brought = {canonicalize_name(Requirement(x).name) for x in found["extras_require"][extra]}
        assert {canonicalize_name(distribution_of(x)) for x in modules} <= brought
    everything = {*found["extras_require"]["all"]}
    assert all(
        everything >= {*lines}
        for extra, lines in found["extras_require"].items()
        if extra not in ("dev", "docs")
    )


def is_installed(name: str) -> bool:
    return any(metadata.distributions(name=name))


def test_the_doctor_supports_the_pythons_that_the_package_supports() -> None:
    from mmvisionllama.checks.environment import SUPPORTED_PYTHONS

    allowed = Requirement(f"python{package_metadata()['python_requires']}").specifier
    assert [x for x in ((3, minor) for minor in range(8, 16)) if f"{x[0]}.{x[1]}" in allowed] == list(
        SUPPORTED_PYTHONS
    )
