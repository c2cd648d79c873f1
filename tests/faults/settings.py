"""Production's settings, and one more application, which installs the points where faults strike."""

from statsproject.settings import *  # noqa: F403
from statsproject.settings import INSTALLED_APPS as PRODUCTION_APPS

INSTALLED_APPS = [*PRODUCTION_APPS, "tests.faults.apps.FaultsConfig"]
