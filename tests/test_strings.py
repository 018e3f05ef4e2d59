"""The strings that people read: the same keys and places to fill in, in every language."""

import re
import string
from pathlib import Path

import pytest

import tiltlm
from tiltlm.errors import ConfigError
from tiltlm.strings.catalogue import languages, read_strings

SOURCE = Path(tiltlm.__file__).parent


def leaves(tree, prefix=""):
    """Every string by its key."""
    found = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def places(text):
    """The names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


ENGLISH = leaves(read_strings("en").tree)


def test_there_is_english_first_and_vietnamese():
    assert next(iter(languages())) == "en"
    assert languages()["vi"] == "Tiếng Việt"


@pytest.mark.parametrize("language", [code for code in languages() if code != "en"])
def test_a_language_has_every_string_with_the_same_places_and_the_same_marks(language):
    other = leaves(read_strings(language).tree)
    assert list(other) == list(ENGLISH)
    for key, text in ENGLISH.items():
        if isinstance(text, str):
            assert places(text) == places(other[key]), key
            assert text.count("`") == other[key].count("`"), key
            assert text.count("**") == other[key].count("**"), key
        else:
            assert len(text) == len(other[key]), key


def test_vietnamese_is_not_english_left_standing():
    other = leaves(read_strings("vi").tree)
    same = [key for key, text in ENGLISH.items() if text == other[key] and len(str(text)) > 24]
    assert same == []


def test_every_key_that_is_asked_for_is_there_and_every_string_is_asked_for():
    texts = [p.read_text() for p in SOURCE.rglob("*.py")]
    texts += [p.read_text() for p in SOURCE.rglob("*.html")] + [
        p.read_text() for p in SOURCE.rglob("*.js")
    ]
    joined = "\n".join(texts)
    asked = set(re.findall(r"\b(?:say|text|label)\(\s*\"([a-z_]+(?:\.[a-z_]+)+)\"", joined))
    assert len(asked) > 60
    assert asked <= set(ENGLISH)
    # Keys are also put together, of a group and a name, so that one of a name is enough.
    for key in ENGLISH:
        if "." in key and not key.startswith(("nouns.", "events.forms.")):
            assert all(part in joined for part in key.rsplit(".", 1)[1].split("_")), key


def test_a_language_that_is_not_there_is_a_mistake_of_the_user():
    for language in ("xx", "../en", ""):
        with pytest.raises(ConfigError, match="no such language"):
            read_strings(language)
