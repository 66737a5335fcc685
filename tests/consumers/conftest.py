from __future__ import annotations

import pytest

from batchaudit.consumers import begin, end
from batchaudit.watching import Watched


@pytest.fixture
def taking_everything(tmp_path):
    """The folder of an audit that takes whatever comes, as `batchaudit run` opens one."""
    watched = Watched(tmp_path, 0, everything=True)
    begin(watched)
    yield tmp_path
    end(watched)
    watched.close()
