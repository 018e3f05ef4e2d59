"""Examples of docstrings as code, when the site is built."""

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"(?:^[ ]*>>> .*\n?(?:^(?![ ]*$).*\n?)*)+", re.MULTILINE)


class ExamplesAsCode(griffe.Extension):  # type: ignore[misc]
    """Puts fences around what begins with ``>>>``, up to the next empty line."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(
                lambda m: f"```python\n{m[0].rstrip()}\n```\n", obj.docstring.value
            )
