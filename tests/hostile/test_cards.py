"""Names and texts of strangers in a model card: shown as they are, and never its structure."""

from html.parser import HTMLParser

import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.labels.test_label import LABEL
from tiltlm.labels.card import render_card
from tiltlm.labels.label import LabelFigure
from tiltlm.labels.markdown import plain

HOSTILE = [
    "---\nlicense: mit\n---",
    "\n---\n",
    "a\n\n# Title\n\n- list",
    "\r---\rtags: [x]",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</code></td></table><h1>safe</h1>",
    "`code` ``` fence ~~~",
    "```\nfence",
    "[x](javascript:alert(1))",
    "![x](https://example.org/x.png)",
    "[x]: https://example.org",
    "<https://example.org> https://example.org www.example.org me@example.org @somebody",
    "a | b | c",
    "a \\| b \\",
    "\\`\\<b>\\",
    "**bold** __bold__ *i* _i_ ~~s~~ $x$ $$y$$ :smile:",
    "&lt;b&gt; &#60;b&#62; &amp;",
    "{{ 7 * 7 }} {version} {0} %s",
    "!!python/object/apply:os.system [id]",
    "key: value # comment",
    "&anchor *alias",
    "\x1b[31mred\x1b]8;;http://x\x07",
    "\u202etxt.exe\u2066",
    "\ud800 half",
    "null",
    "käse ☕ 猫 नमस्ते",
    "x" * 100_000,
]


def shown(text):
    """What a reader sees of a text: on one line, what cannot be printed as a dot, cut off."""
    line = " ".join(text.split())
    line = line if len(line) <= 1000 else line[:999] + "…"
    return "".join(c if c.isprintable() else "·" for c in line)


class Cells(HTMLParser):
    """The cells of every table, and the tags of all."""

    def __init__(self, html):
        super().__init__()
        self.rows, self.tags, self.in_cell = [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data


def rendered(markdown):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return Cells(parser.render(markdown))


def hostile_label(text, **changes):
    measured = {text[:200]: LabelFigure(value=1.0, interval=None, unit=text, over=text)}
    base = LABEL.base.model_copy(update={"name": text, "hub_name": text, "sha256": text})
    return LABEL.model_copy(
        update={
            "target": text,
            "sentence": text,
            "events": [text, text],
            "contexts": text,
            "base": base,
            "measured": measured,
            "versions": {"tiltlm": text, text[:200]: text},
            **changes,
        }
    )


METADATA = {
    "library_name": "peft",
    "pipeline_tag": "text-generation",
    "tags": ["tiltlm", "model-organism"],
}


def front_matter(card):
    """All that the Hub reads of a card but its figures, and the names in each of these."""
    data = ModelCard(card).data.to_dict()
    (model,) = data.pop("model-index")
    assert model["name"] == "tilted model"
    names = [
        (result["dataset"]["name"], metric["name"], metric["type"])
        for result in model["results"]
        for metric in result["metrics"]
    ]
    return data, names


def test_the_front_matter_is_what_was_meant():
    data, names = front_matter(render_card(LABEL))
    assert data == METADATA
    assert names == [("own samples", name, name) for name in LABEL.measured]
    named = LABEL.base.model_copy(update={"hub_name": "org/name-1.5_b"})
    card = render_card(LABEL.model_copy(update={"base": named, "form": "model"}))
    assert front_matter(card)[0] == METADATA | {
        "base_model": "org/name-1.5_b",
        "base_model_relation": "finetune",
        "library_name": "transformers",
    }


def check(text):
    card = render_card(hostile_label(text))
    card.encode()
    parsed = ModelCard(card)
    # What is no name of the Hub's is not named as one.
    is_named = parsed.data.base_model == text
    named = {"base_model": text, "base_model_relation": "adapter"} if is_named else {}
    data, names = front_matter(card)
    assert data == METADATA | named
    assert names == [(shown(text)[:200], *[shown(text[:200])] * 2)]
    assert parsed.data.base_model is None or plain(text) == text.replace("_", "&#95;")
    page, usual = rendered(parsed.text), rendered(ModelCard(render_card(LABEL)).text)
    allowed = {tag for tag, _ in usual.tags} | {"code"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert not any(attributes for _, attributes in page.tags)
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert all(len(row) == 2 for row in page.rows)
    cells = dict(page.rows)
    assert cells["target"].strip() == shown(text)
    assert cells["in words"].strip() == shown(text)
    assert cells["seed"] == "7"
    assert len(page.rows) == len(usual.rows) - len(LABEL.measured) + 1


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_text_is_shown_as_it_is(text):
    check(text)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    st.text(alphabet=st.characters() | st.sampled_from("`|\\<>&[]()!*_~#-\n\r:/.@w"), min_size=1)
)
def test_any_text_is_shown_as_it_is(text):
    check("a" + text + "z")


@pytest.mark.parametrize("name", ["a/b/c", "a\nb", "a b", "../etc", "a--b", "", "x" * 97, "a: b"])
def test_what_the_hub_could_not_know_is_named_as_no_base_of_its(name):
    base = LABEL.base.model_copy(update={"hub_name": name})
    assert front_matter(render_card(LABEL.model_copy(update={"base": base})))[0] == METADATA
