"""Components whose words follow the language that is chosen. Knows gradio and the strings."""

from __future__ import annotations

from typing import Any, TypeVar

from tiltlm.strings.catalogue import Strings, read_strings

Component = TypeVar("Component")


class Words:
    """The words of a page: every component that has some, with the keys of them.

    Attributes:
        language: of the page when it is opened.
        components: that follow the language, in the order of `updates`.
    """

    def __init__(self, language: str = "en") -> None:
        self.language = language
        self.components: list[Any] = []
        self._keys: list[dict[str, Any]] = []

    @property
    def strings(self) -> Strings:
        """The strings of the language that the page is opened in."""
        return read_strings(self.language)

    def made(self, kind: type[Component], *arguments: Any, **properties: Any) -> Component:
        """A component, with keys of strings in place of its words.

        Args:
            kind: a class of gradio's.
            arguments: of the class.
            properties: of the class; what ends in ``_key`` is the key of that property's string,
                and ``choice_keys`` maps each value of a choice to the key of its name.
        """
        keys = {k: properties.pop(k) for k in list(properties) if k.endswith(("_key", "_keys"))}
        component = kind(*arguments, **properties, **self._said(keys, self.strings))
        self.components.append(component)
        self._keys.append(keys)
        return component

    def updates(self, language: str) -> list[Any]:
        """What every component is to be changed by, so that it speaks another language.

        Args:
            language: the other one.
        """
        import gradio as gr

        strings = read_strings(language)
        return [gr.update(**self._said(keys, strings)) for keys in self._keys]

    @staticmethod
    def _said(keys: dict[str, Any], strings: Strings) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name, key in keys.items():
            if name == "choice_keys":
                said["choices"] = [(strings.text(k), value) for value, k in key.items()]
            elif name == "paragraph_key":
                from tiltlm.web.fragments import paragraph

                said["value"] = paragraph(strings.text(key))
            else:
                said[name.removesuffix("_key")] = strings.text(key)
        return said
