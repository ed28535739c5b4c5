"""The dashboard that is made by the template of docs/dashboard.md."""

import re
from typing import Final

from .settings import ROOT

PAGE: Final = ROOT / "docs" / "dashboard.md"


def read_templates() -> list[str]:
    """Return the templates of the page: that of the dashboard, then the examples."""
    return re.findall(
        r"^```jinja\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
