import re
from pathlib import Path

import pytest

import tiltlm

README = Path(tiltlm.__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_run_and_like_x(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert code
    exec(compile(code[1], "README.md", "exec"), {})
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.count("x") > 20


def test_every_file_that_the_readme_links_is_there():
    links = re.findall(r"\]\(([^)#]+)\)", README.read_text())
    assert links
    for link in links:
        assert (README.parent / link).is_file(), link
