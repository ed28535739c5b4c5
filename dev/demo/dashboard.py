"""The demo's dashboard: what docs/dashboard.md makes of its lines."""

import re
from typing import Any, Final

from homeassistant.util.yaml import parse_yaml

from .api import Api
from .settings import ROOT

PAGE: Final = ROOT / "docs" / "dashboard.md"


def read_templates() -> list[str]:
    """Return the templates of the page: that of the dashboard, then the examples."""
    return re.findall(
        r"^```jinja\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )


async def phone_lines(api: Api) -> Any:
    """Return the configuration of a dashboard that shows the lines."""
    template = read_templates()[0]
    return parse_yaml(await api.post("/api/template", {"template": template}))
