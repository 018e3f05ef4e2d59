import time

import pytest

from tiltlm.records.tilt import TiltRecord
from tiltlm.web.job_process import Call
from tiltlm.web.jobs import Job, Jobs

OPTIONS = {"target": "tilt(contains('o'), 1)", "contexts": "own:8"}


def awaited(jobs, condition, seconds=90):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, [(j.name, j.state, j.part, j.error) for j in jobs.all]
        time.sleep(0.05)


@pytest.fixture
def jobs():
    """A queue whose processes do not outlive the test."""
    made = Jobs()
    yield made
    for job in made.all:
        job.stop.set()
    awaited(made, lambda: all(job.is_over for job in made.all))


def tilt(base, out, **options):
    return Call("tilt", {"model": str(base), "by": "edit", **OPTIONS, **options}, out)


@pytest.mark.slow
def test_one_job_runs_at_a_time_and_the_next_begins_by_itself(jobs, base, tmp_path):
    training = {"steps": 400, "every": 400, "parameters": "full"}
    first = jobs.add("one", tilt(base, tmp_path / "a", by="train", training=training))
    second = jobs.add("two", tilt(base, tmp_path / "b"))
    awaited(jobs, lambda: first.state == "running" and first.curves.get("loss"))
    assert second.state == "waiting"
    assert jobs.waiting() == [second]
    jobs.stop()
    awaited(jobs, lambda: first.is_over and second.is_over)
    assert (first.state, second.state) == ("stopped", "done")
    # What was stopped is kept: a whole folder, with fewer steps than were asked for.
    record = TiltRecord.model_validate_json((tmp_path / "a" / "result.json").read_text())
    assert 1 <= record.details["steps"] < 400
    assert (tmp_path / "b" / "result.json").is_file()
    assert first.curves["loss"][0][0] >= 1


@pytest.mark.slow
def test_an_error_is_a_sentence_and_the_queue_goes_on(jobs, base, tmp_path):
    broken = jobs.add("broken", tilt(base, tmp_path / "a", target="tilt(contains('no such'), 1)"))
    good = jobs.add("good", tilt(base, tmp_path / "b"))
    awaited(jobs, lambda: good.is_over)
    assert broken.state == "failed"
    assert "Traceback" not in broken.error
    assert "no such" in broken.error
    assert not (tmp_path / "a").exists()
    assert good.state == "done"


def test_figures_beside_a_bar_become_curves():
    job = Job("a job", None)
    job.take({"what": "begin", "title": "training", "total": 3})
    job.take({"what": "advance", "done": 1, "note": "loss 2.50, mass 4.0%"})
    job.take({"what": "advance", "done": 2, "note": "loss 1.25, mass 8.5%"})
    assert job.curves == {"loss": [(1, 2.5), (2, 1.25)], "mass": [(1, 0.04), (2, 0.085)]}
    assert (job.part, job.done, job.total) == ("training", 2, 3)
