"""What people read on pages, in each language: one YAML file a language, the same keys in each.

catalogue  strings by key, with what is filled in

A new language is one new file beside ``en.yaml``, named by its code.
"""

from tiltlm.strings.catalogue import Strings, languages, read_strings

__all__ = ["Strings", "languages", "read_strings"]
