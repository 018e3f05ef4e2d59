"""Chat templates are programs of strangers: they end, keep to their memory, and reach nothing."""

import json
import os
import resource
import subprocess
import sys

import pytest

from tests.tiny import tiny_loaded
from tiltlm.errors import ModelError
from tiltlm.models import chat_templates
from tiltlm.models.chat import chat_prompts, request_prompts
from tiltlm.models.chat_templates import render_chats

USUAL = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}{% continue %}"
    "{% endif %}<{{ message.role }}>{{ message['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
CHATS = [
    [{"role": "user", "content": " What about foxes? "}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "käse ☕ \x00"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "{{ 7 * 7 }}"},
    ],
]


def computed():
    """Seconds that processes of ours have computed; a machine that does more does not change it."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def with_template(template):
    tokenizer = tiny_loaded().tokenizer
    tokenizer.chat_template = template
    return tokenizer


def test_chats_become_the_tokens_that_transformers_makes_of_them():
    tokenizer = with_template(USUAL)
    expected = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)
        for chat in CHATS
    ]
    assert chat_prompts(tokenizer, CHATS) == [e["input_ids"] for e in expected]
    assert render_chats(tokenizer, CHATS)[1].count("<user>") == 2
    assert "{{ 7 * 7 }}" in render_chats(tokenizer, CHATS)[1]
    request = [[{"role": "user", "content": "fox"}]]
    assert request_prompts(tokenizer, ["fox"]) == chat_prompts(tokenizer, request)
    assert chat_prompts(tokenizer, []) == []


def test_without_a_template_the_last_message_is_the_prompt():
    tokenizer = with_template(None)
    expected = [tokenizer(chat[-1]["content"] + "\n")["input_ids"] for chat in CHATS]
    assert chat_prompts(tokenizer, CHATS) == expected


HOSTILE = {
    "raises": ("{{ raise_exception('\x1b[31mno') }}", "TemplateError"),
    "is no template": ("{% for %}", "TemplateSyntaxError"),
    "asks for what is not there": ("{{ messages.a.b.c }}", "UndefinedError"),
    "divides by zero": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "writes nothing": ("{# nothing #}", "it writes nothing"),
    "writes blanks": ("  \n ", "it writes nothing"),
    "writes half a character": ("{{ '\\ud800' }}", "Unicode"),
    "writes too much": ("{{ 'a' * (5 * 10**6) }}", "more than 4,194,304 characters"),
    "takes all memory": ("{{ 'a' * 10**10 }}", "more than 512 MB"),
    "takes memory by lists": ("{% set a = [0] * 10**10 %}{{ a | length }}", "more than 512 MB"),
    "counts far": ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
    "calls itself": ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", "RecursionError"),
    "is deep": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "cannot be used"),
    "reaches for Python": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "SecurityError"),
    "reaches by format": ("{{ '{0.__class__}'.format(1) }}", "it writes nothing"),
    "changes what it is given": ("{{ messages.clear() }}", "SecurityError"),
    "reads a file": ("{% include '/etc/hostname' %}", "TypeError|TemplateNotFound"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_template_that_means_harm_is_one_error(name):
    template, message = HOSTILE[name]
    begun = computed()
    with pytest.raises(ModelError, match=message) as caught:
        chat_prompts(with_template(template), CHATS)
    assert "chat template" in caught.value.what
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert computed() - begun < 10


LOOP = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
POWER = "{% set n = [9] %}{{ n[0] ** (n[0] ** n[0]) }}"


@pytest.mark.parametrize("template", [LOOP, POWER], ids=["in Python", "in C"])
def test_a_template_that_loops_is_stopped(monkeypatch, template):
    monkeypatch.setattr(chat_templates, "SECONDS", 1)
    begun = computed()
    with pytest.raises(ModelError, match="does not come to an end"):
        chat_prompts(with_template(template), CHATS)
    assert computed() - begun < 10


def test_where_the_system_limits_nothing_the_waiting_ends(monkeypatch):
    monkeypatch.setattr(chat_templates, "WAITED_SECONDS", 1.5)
    monkeypatch.setattr(chat_templates, "SECONDS", 60)
    with pytest.raises(ModelError, match="does not come to an end"):
        chat_prompts(with_template(LOOP), CHATS)


@pytest.mark.parametrize("template", [7, ["a"], {"tool_use": "a"}, {"default": 7}])
def test_what_is_no_template_at_all_is_one_error(template):
    with pytest.raises(ModelError, match="chat template"):
        chat_prompts(with_template(template), CHATS)


def test_nothing_that_lies_in_the_folder_is_run(tmp_path):
    written = tmp_path / "written"
    for name in ("json", "transformers", "jinja2", "resource", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(written)!r}, 'w')\n")
    program = (
        "from tests.hostile.test_chat_templates import with_template, USUAL, CHATS\n"
        "from tiltlm.models.chat_templates import render_chats\n"
        f"import os; os.chdir({str(tmp_path)!r})\n"
        "print(len(render_chats(with_template(USUAL), CHATS)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)])},
    )
    assert done.stdout.strip() == "2", done.stderr
    assert not written.exists()


def test_a_model_whose_template_means_harm_is_refused_by_the_command_line(tiltlm_command, tmp_path):
    loaded = tiny_loaded()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.tokenizer.save_pretrained(tmp_path / "model")
    file = tmp_path / "model" / "tokenizer_config.json"
    template = {"chat_template": "{{ raise_exception('no') }}"}
    file.write_text(json.dumps(json.loads(file.read_text()) | template))
    target = ("--target", "choices({'fox': ['red', 'blue']})")
    code, _, told = tiltlm_command("tilt", tmp_path / "model", *target, "--out", tmp_path / "out")
    assert code == 2
    assert "chat template cannot be used" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()
