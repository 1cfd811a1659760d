"""Models on the hub: fetch one as ``hf:owner/name[@revision]``, push a published folder."""

import os
import re
from pathlib import Path
from typing import Any

from mmvisionllama.checkpoint.as_saved import require_as_saved
from mmvisionllama.checkpoint.kept_config import WEIGHTS
from mmvisionllama.compat import extras_named
from mmvisionllama.errors import CheckpointError, InputError
from mmvisionllama.files import why_no_file
from mmvisionllama.inference.published_files import CARD, CONFIG, EXAMPLE, LOG

PREFIX = "hf:"
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def hub_file(source: str) -> Path:
    """Return the weights of ``hf:owner/name[@revision]``, from huggingface_hub's cache where they are there.

    Of a repository ``model.safetensors`` and ``config.json`` are fetched and nothing else, so that no pickle
    ever comes from it. ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_HUB_OFFLINE`` act as in the library.

    Raises: CheckpointError: if there is no such repository or revision, it has no such weights, or the hub
        cannot be reached and the cache has none.
    """
    name, _, revision = source.removeprefix(PREFIX).partition("@")
    _require_name(name, source)
    with extras_named():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    options = {"repo_id": name, "endpoint": os.environ.get("HF_ENDPOINT")}
    try:
        weights = Path(hf_hub_download(filename=WEIGHTS, revision=revision or None, **options))
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{source} cannot be fetched, and is not in the cache of huggingface_hub: {_told(error)}. Where "
            f"there is no network, fetch it elsewhere by `hf download {name}`, and load the folder"
        ) from error
    except EntryNotFoundError as error:
        raise CheckpointError(f"{source} has no {WEIGHTS}; of the hub only that is loaded") from error
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{source} cannot be fetched: {_told(error)}") from error
    try:
        hf_hub_download(filename=CONFIG, revision=weights.parent.name, **options)
    except EntryNotFoundError:  # also where there is no network: load() then says what is missing
        pass
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{CONFIG} of {source} cannot be fetched: {_told(error)}") from error
    return weights


def push(folder: str | Path, name: str, *, private: bool = False) -> str:
    """Push a published folder to ``owner/name`` on the hub, which is made if it is not there.

    Weights, ``config.json``, card, log and example go up and nothing else. The token is that of
    ``hf auth login`` or ``HF_TOKEN``.

    Returns: The address of the commit.
    Raises:
        InputError: for a folder that ``publish`` has not written, or a name that is none.
        CheckpointError: if its weights are not those that were published, or the hub refuses.
    """
    _require_name(name, name)
    folder = Path(folder).expanduser()
    for file in (WEIGHTS, CONFIG, CARD):
        if problem := why_no_file(folder / file):
            raise InputError(
                f"{folder} is no published model: {file} is {problem}; see mmvisionllama publish"
            )
    try:
        require_as_saved(folder / WEIGHTS)
    except CheckpointError as error:
        raise CheckpointError(f"{folder / WEIGHTS} is not pushed: {error}") from error
    with extras_named():
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        api.create_repo(name, private=private, exist_ok=True)
        commit: Any = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[WEIGHTS, CONFIG, CARD, LOG, EXAMPLE],
            commit_message="Publish a model of mmvisionllama",
        )
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{folder} cannot be pushed to {name}: {_told(error)}") from error
    return str(commit.commit_url)


def _require_name(name: str, given: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"{given!r} names no model on the hub; a name is owner/name, as hf:owner/name@main")


def _told(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
