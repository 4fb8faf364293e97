"""All that the shell client promises, again, of the one file."""

from __future__ import annotations

from tests.unit.cli.test_clusters import *  # noqa: F403
from tests.unit.cli.test_completion import *  # noqa: F403
from tests.unit.cli.test_failures import *  # noqa: F403
from tests.unit.cli.test_forms import *  # noqa: F403
from tests.unit.cli.test_output import *  # noqa: F403
from tests.unit.cli.test_requests import *  # noqa: F403
from tests.unit.cli.test_terminal import *  # noqa: F403
from tests.unit.cli.test_upload import *  # noqa: F403
