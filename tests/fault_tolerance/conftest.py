from collections.abc import Iterator

import pytest
from yapf.yapflib import yapf_api


@pytest.fixture(scope="module", autouse=True)
def _config_as_it_is() -> Iterator[None]:
    """Write configs into logs and checkpoints unformatted: to format one takes as long as ten steps here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yapf_api, "FormatCode", lambda text, **kwargs: (text, True))
        yield
