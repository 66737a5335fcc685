"""A watched source is still the user's: its type, state, hooks, pickle, life and end."""

from __future__ import annotations

import abc
import copy
import gc
import itertools
import pickle
import weakref
from typing import ClassVar

import numpy as np
import pytest

from batchaudit.errors import UsageError
from batchaudit.sources import kind_of, watch
from batchaudit.sources.kinds import Kind
from batchaudit.sources.subclass import untwin
from tests.loaders import Elsewhere, Numbers, Passes, Table, batch, content


class Slotted:
    """State in slots only, one of them private."""

    __slots__ = ("__hidden", "count")

    def __init__(self, count=3):
        self.count = count
        self.__hidden = 0

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.__hidden += 1
        return batch(index)

    @property
    def asked(self):
        return self.__hidden

    def on_epoch_end(self):
        self.count += 1


class HalfSlotted(Table):
    """A slot beside an inherited `__dict__`."""

    __slots__ = ("scale",)

    def __init__(self):
        super().__init__(3)
        self.scale = 2

    def __getitem__(self, index):
        return batch(index)[0] * self.scale


class Final(Table):
    """Forbids subclasses."""

    def __init_subclass__(cls):
        raise TypeError("Final is final")


class Sealed(type):
    def __new__(mcs, name, bases, body):
        if any(isinstance(base, Sealed) for base in bases):
            raise RuntimeError(f"no subclass of {bases[-1].__name__}, please")
        return super().__new__(mcs, name, bases, body)


class SealedTable(Table, metaclass=Sealed):
    """Its metaclass forbids subclasses."""


class Registered(Table):
    registry: ClassVar[dict[str, type]] = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        Registered.registry[cls.__name__] = cls


class Plugin(Registered):
    pass


class Abstract(abc.ABC):
    @abc.abstractmethod
    def __len__(self): ...


class Concrete(Abstract):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return batch(index)


class ListOfBatches(list):
    """A list with state of its own."""

    def __init__(self, items):
        super().__init__(items)
        self.epochs = 0

    def on_epoch_end(self):
        self.epochs += 1


class Computed(Table):
    """Properties, and an attribute that appears when it is asked for."""

    def __init__(self):
        super().__init__(3)
        self._scale = 1.0

    @property
    def scale(self):
        return self._scale

    @scale.setter
    def scale(self, value):
        self._scale = value * 2

    def __getattr__(self, name):
        if name == "lazy":
            return "made up"
        raise AttributeError(name)


class Own:
    """`__iter__` of its own beside `__getitem__`."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return batch(index)

    def __iter__(self):
        return (self[index] for index in reversed(range(3)))


class Finalised(Table):
    finalised = 0

    def __del__(self):
        Finalised.finalised += 1


# -- type and attributes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [Numbers, Passes, Table, Slotted, HalfSlotted, Final, Plugin, Concrete, Computed, Own]
)
def test_the_type_stays(make, recorder):
    watched = watch(make(), recorder)
    assert isinstance(watched, make)
    assert type(watched).__name__ == make.__name__
    assert kind_of(watched) is kind_of(make())


def test_state_is_shared_both_ways(recorder):
    source = Table()
    watched = watch(source, recorder)
    watched.color = "red"
    source.count = 3
    assert (source.color, len(watched)) == ("red", 3)
    del watched.color
    assert not hasattr(source, "color")


def test_slots_are_shared_both_ways(recorder, events):
    source = Slotted()
    watched = watch(source, recorder)
    watched.on_epoch_end()
    watched[0]
    source[1]
    assert (source.count, watched.count, source.asked, watched.asked) == (4, 4, 2, 2)
    del watched.count
    assert not hasattr(source, "count")
    with pytest.raises(AttributeError):
        watched.something_new = 1
    assert len(events.produced) == 1


def test_a_slot_beside_a_dict_is_shared(recorder):
    source = HalfSlotted()
    watched = watch(source, recorder)
    source.scale = 5
    assert content(watched[1]) == content(batch(1)[0] * 5)


def test_properties_and_getattr_are_the_users(recorder):
    source = Computed()
    watched = watch(source, recorder)
    watched.scale = 3
    assert (source.scale, watched.scale, watched.lazy) == (6, 6, "made up")
    with pytest.raises(AttributeError):
        _ = watched.other


def test_a_class_that_keeps_a_register_of_its_subclasses_hears_of_none(recorder):
    before = dict(Registered.registry)
    watch(Plugin(), recorder)
    assert Registered.registry == before


@pytest.mark.parametrize("make", [SealedTable, lambda: ListOfBatches([batch(i) for i in range(8)])])
def test_what_takes_no_subclass_is_watched_all_the_same(make, recorder, events):
    source = make()
    watched = watch(source, recorder)
    assert len(watched) == 8
    assert [content(watched[i]) for i in range(8)] == [content(batch(i)) for i in range(8)]
    assert [event.index for event in events.produced] == list(range(8))
    watched.on_epoch_end()
    watched.color = "red"
    assert source.color == "red"
    assert kind_of(watched) is Kind.INDEXED


def test_a_list_stays_as_long_as_it_is(recorder):
    source = [batch(0)]
    watched = watch(source, recorder)
    source.append(batch(1))
    assert len(watched) == 2
    assert content(watched[-1]) == content(batch(1))
    assert len(watched[:]) == 2
    with pytest.raises(IndexError):
        watched[2]


# -- hooks, iteration -----------------------------------------------------------------------------


def test_hooks_are_called_once_and_noted(recorder, events):
    source = Table()
    watched = watch(source, recorder)
    watched.on_epoch_begin()
    watched.on_epoch_end()
    watched.on_epoch_begin()
    assert (len(source.begun), len(source.ended)) == (2, 1)
    assert [(event.text, event.epoch) for event in events] == [
        ("on_epoch_begin", 0),
        ("on_epoch_end", 0),
        ("on_epoch_begin", 1),
    ]


def test_iter_of_an_iterator_is_itself(recorder):
    watched = watch(Numbers(), recorder)
    assert iter(watched) is watched


def test_an_iterator_that_hands_out_another_is_followed(recorder, events):
    watched = watch(Elsewhere(), recorder)
    assert [content(item) for item in watched] == [content(batch(7)), content(batch(8))]
    assert len(events.produced) == 2


def test_own_iteration_over_getitem_notes_each_batch_once(recorder, events):
    watched = watch(Own(), recorder)
    assert [content(item) for item in watched] == [content(batch(i)) for i in (2, 1, 0)]
    assert [event.index for event in events.produced] == [2, 1, 0]


def test_each_pass_of_an_iterable_is_noted(recorder, events):
    watched = watch(Passes(2), recorder)
    assert len(list(watched)) == len(list(watched)) == 2
    assert [event.text for event in events if event.text] == ["iterator", "iterator"]
    assert len(events.produced) == 4


def test_running_out_is_no_error(recorder, events):
    assert list(watch(Numbers(0), recorder)) == []
    with pytest.raises(IndexError):
        watch([batch(0)], recorder)[5]
    assert events == []


# -- pickling and copying -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Numbers, Passes, Table, HalfSlotted, Plugin])
def test_it_pickles_as_the_source_does(make, recorder):
    source = make()
    source.color = "red"
    again = pickle.loads(pickle.dumps(watch(source, recorder)))
    assert isinstance(again, make)
    assert vars(again) == vars(pickle.loads(pickle.dumps(source)))
    assert kind_of(again) is kind_of(source)
    first = next(iter(again)) if kind_of(source) is not Kind.INDEXED else again[0]
    assert content(first) == content(next(iter(source)) if kind_of(source) is not Kind.INDEXED else source[0])


@pytest.mark.parametrize("make", [SealedTable, lambda: [batch(0)]])
def test_a_stand_in_pickles_as_its_source_does(make, recorder):
    again = pickle.loads(pickle.dumps(watch(make(), recorder)))
    assert content(again[0]) == content(batch(0))


def test_it_refuses_to_pickle_as_the_source_does(recorder):
    source = Table()
    source.lock = lambda: None
    with pytest.raises((AttributeError, pickle.PicklingError)) as plain:
        pickle.dumps(source)
    with pytest.raises(type(plain.value)) as watched:
        pickle.dumps(watch(source, recorder))
    assert str(watched.value) == str(plain.value)


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_is_watched_and_has_state_of_its_own(how, recorder, events):
    source = Table()
    copied = how(watch(source, recorder))
    copied.count = 1
    assert source.count == 8
    assert isinstance(copied, Table)
    copied[0]
    assert len(events.produced) == 1


# -- life and end ---------------------------------------------------------------------------------


def test_the_source_ends_once_and_not_before_its_twin(recorder):
    Finalised.finalised = 0
    watched = watch(Finalised(), recorder)
    gc.collect()
    assert Finalised.finalised == 0
    del watched
    gc.collect()
    assert Finalised.finalised == 1


def test_the_source_itself_stays_as_it_was(recorder, events):
    source = Table()
    watched = watch(source, recorder)
    assert type(source) is Table
    assert untwin(watched) is source
    source[0]
    source.on_epoch_end()
    assert events == []


class Weak(np.ndarray):
    """An array with weak references."""


def _weak(number):
    return np.full((2, 2), number).view(Weak)


@pytest.mark.parametrize(
    "make",
    [
        lambda: map(_weak, itertools.count()),
        lambda: itertools.chain(_weak(i) for i in range(2)),
    ],
)
def test_a_watched_builtin_iterator_keeps_no_batch(make, recorder):
    watched = watch(make(), recorder)
    alive = weakref.ref(next(watched))
    assert alive() is None


@pytest.mark.parametrize("thing", [3, "text", b"bytes", {"a": 1}, {1, 2}, None, object(), len])
def test_what_yields_no_batches_is_refused_with_its_type(thing, recorder):
    with pytest.raises(UsageError, match=type(thing).__name__):
        watch(thing, recorder)
