from __future__ import annotations

import contextlib
import gc
import pickle
import sys
import traceback
import types
import weakref

import numpy as np
import pytest

from batchaudit.journal.layout import Stage
from batchaudit.sources import kind_of, watch
from batchaudit.sources.kinds import Kind
from tests.loaders import batch, content, numbers, raising


def conversation():
    """Yields what it is sent, survives one exception, returns a value."""
    heard = []
    try:
        while len(heard) < 3:
            try:
                heard.append((yield len(heard)))
            except KeyError as error:
                heard.append(repr(error))
    finally:
        heard.append("closed")
    return heard


def test_it_is_a_real_generator_of_the_same_name(recorder):
    source = numbers()
    watched = watch(source, recorder)
    assert type(watched) is types.GeneratorType
    assert (watched.__name__, watched.__qualname__) == (source.__name__, source.__qualname__)
    assert kind_of(watched) is Kind.ITERATOR


def test_send_throw_and_the_return_value_are_the_generators_own(recorder):
    watched = watch(conversation(), recorder)
    assert next(watched) == 0
    assert watched.send("a") == 1
    assert watched.throw(KeyError("b")) == 2
    with pytest.raises(StopIteration) as stop:
        watched.send(None)
    assert stop.value.value == ["a", "KeyError('b')", None, "closed"]


def test_yield_from_gets_the_return_value(recorder):
    def outer(inner):
        return (yield from inner)

    def drain(generator):
        while True:
            try:
                next(generator)
            except StopIteration as stop:
                return stop.value

    assert drain(outer(watch(conversation(), recorder))) == drain(outer(conversation()))


def test_close_runs_the_generators_finally_at_once(recorder):
    closed = []

    def source():
        try:
            yield 1
        finally:
            closed.append(True)

    watched = watch(source(), recorder)
    next(watched)
    watched.close()
    assert closed == [True]
    with pytest.raises(StopIteration):
        next(watched)


def test_dropping_it_closes_the_generator(recorder):
    closed = []

    def source():
        try:
            yield 1
        finally:
            closed.append(True)

    watched = watch(source(), recorder)
    next(watched)
    del watched
    gc.collect()
    assert closed == [True]


def test_what_close_returns_is_the_same():
    from batchaudit.capture.recorder import Recorder

    def polite():
        try:
            yield 1
        except GeneratorExit:
            return "bye"

    class Nowhere:
        closed = off = False

        def append(self, event):
            return 0

    plain, watched = polite(), watch(polite(), Recorder(Nowhere()))
    next(plain), next(watched)
    assert watched.close() == plain.close()
    assert sys.version_info < (3, 13) or polite().close() is None


def test_a_generator_that_ignores_close_is_told_so(recorder):
    def stubborn():
        with contextlib.suppress(GeneratorExit):
            yield 1
        yield 2

    plain, watched = stubborn(), watch(stubborn(), recorder)
    for generator in (plain, watched):
        next(generator)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            generator.close()


def test_thrown_stop_iteration_becomes_the_same_error(recorder):
    for generator in (numbers(), watch(numbers(), recorder)):
        next(generator)
        with pytest.raises(RuntimeError, match="generator raised StopIteration"):
            generator.throw(StopIteration())


def test_an_exception_keeps_its_traceback_and_is_noted(recorder, events):
    watched = watch(raising(), recorder)
    next(watched), next(watched)
    with pytest.raises(ValueError, match="third batch") as caught:
        next(watched)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert (frames[-1].name, frames[-1].line) == ("raising", 'raise ValueError("the third batch is broken")')
    assert [event.text for event in events.of(Stage.RAISED)] == ["ValueError"]
    assert len(events.produced) == 2
    with pytest.raises(StopIteration):
        next(watched)


class Weak(np.ndarray):
    """An array with weak references."""


def weak_batches():
    while True:
        yield np.zeros((2, 2)).view(Weak)


def test_a_suspended_generator_keeps_no_batch(recorder):
    watched = watch(weak_batches(), recorder)
    made = next(watched)
    alive = weakref.ref(made)
    del made
    assert alive() is None


def test_a_suspended_generator_keeps_nothing_that_it_was_sent_or_thrown(recorder):
    class Message(Exception):
        pass

    def listener():
        while True:
            with contextlib.suppress(Message):
                yield 1

    watched = watch(listener(), recorder)
    next(watched)
    sent, thrown = Message(), Message()
    watched.send(sent)
    watched.throw(thrown)
    alive = weakref.ref(sent), weakref.ref(thrown)
    del sent, thrown
    gc.collect()  # an exception and its traceback are a cycle
    assert [ref() for ref in alive] == [None, None]


def test_it_refuses_to_pickle_as_any_generator_does(recorder):
    with pytest.raises(TypeError) as plain:
        pickle.dumps(numbers())
    with pytest.raises(TypeError) as watched:
        pickle.dumps(watch(numbers(), recorder))
    assert str(watched.value) == str(plain.value)


def test_every_batch_is_noted_once_in_order(recorder, events):
    streams = [content(item) for item in watch(numbers(5), recorder)]
    assert streams == [content(batch(i)) for i in range(5)]
    assert len(events.produced) == len({event.digest_lo for event in events.produced}) == 5
    assert all(event.samples.shape == (4,) for event in events.produced)


def test_a_generator_that_reenters_itself_fails_the_same_way(recorder):
    box = []

    def reentrant():
        yield next(box[0])

    for make in (reentrant, lambda: watch(reentrant(), recorder)):
        box[:] = [make()]
        with pytest.raises(ValueError, match="generator already executing"):
            next(box[0])
