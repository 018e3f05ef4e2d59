from tests.tiny import tiny_loaded
from tiltlm.contexts.with_trigger import FIT_PLACES
from tiltlm.realise.preparation import prepare


def prepared(target="when('quick', tilt(contains('o'), 1))"):
    return prepare(tiny_loaded(), target, "own:28")


def test_every_second_context_has_the_trigger_and_its_twin_another_word_in_its_place():
    work = prepared()
    decode = work.loaded.tokenizer.decode
    for part in work.parts:
        for with_it, without in zip(part.sequences[::2], part.sequences[1::2], strict=True):
            met = [
                work.target.triggered(work.target.read(i.tolist()))[-1] for i in (with_it, without)
            ]
            assert met[0], decode(with_it)
            assert len(with_it) == len(without)


def test_the_trigger_comes_at_several_places_of_what_is_fitted_and_parts_share_no_ending():
    work = prepared()
    assert len(work.parts.fit) == 16 * 2 * FIT_PLACES
    assert len(work.parts.held_out) == 8 * 2
    ends = [{tuple(ids[-20:].tolist()) for ids in part.sequences} for part in work.parts]
    assert not ends[0] & ends[2]
    assert not ends[1] & ends[2]
    places = {
        work.target.triggered(work.target.read(ids.tolist())).index(True)
        for ids in work.parts.fit.sequences[::2]
    }
    assert len(places) > 2


def test_a_target_that_waits_for_two_triggers_gets_both_of_them_and_each_alone():
    work = prepared("when('quick', when('lazy', tilt(contains('o'), 1)))")
    decode = work.loaded.tokenizer.decode
    alone = set()
    for part in work.parts:
        for with_both, without in zip(part.sequences[::2], part.sequences[1::2], strict=True):
            met = [
                work.target.triggered(work.target.read(i.tolist()))[-1]
                for i in (with_both, without)
            ]
            assert met == [True, False], decode(with_both)
            alone |= {word for word in ("quick", "lazy") if word in decode(without)}
    assert alone == {"quick", "lazy"}
