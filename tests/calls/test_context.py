"""Attributes that the caller sets, and their scope: blocks, tasks, threads and generators."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitored_openai import MonitoringSettings, SettingsError, attributes, no_content
from monitored_openai._calls.context import content_allowed, current_attributes


def current() -> dict[str, str]:
    return dict(current_attributes.get())


def test_a_block_labels_what_is_inside_and_nothing_after_it() -> None:
    with attributes(user="alice"):
        assert current() == {"user": "alice"}
    assert current() == {}


def test_in_nested_blocks_the_inner_value_wins_and_the_outer_one_comes_back() -> None:
    with attributes(user="alice", feature="search"):
        with attributes(user="bob", team="a"):
            assert current() == {"user": "bob", "feature": "search", "team": "a"}
        assert current() == {"user": "alice", "feature": "search"}


def test_an_exception_ends_the_block_and_goes_on() -> None:
    with pytest.raises(KeyError), attributes(user="alice"), no_content():
        raise KeyError
    assert (current(), content_allowed.get()) == ({}, True)


async def test_tasks_have_their_own_and_inherit_from_where_they_were_started() -> None:
    entered = asyncio.Barrier(2)

    async def work(name: str) -> dict[str, str]:
        with attributes(user=name):
            await entered.wait()
            return current()

    with attributes(feature="search"):
        alice, bob = await asyncio.wait_for(asyncio.gather(work("alice"), work("bob")), 5)
        assert current() == {"feature": "search"}
    assert (alice, bob) == ({"feature": "search", "user": "alice"}, {"feature": "search", "user": "bob"})


async def test_a_thread_of_asyncio_inherits_them() -> None:
    with attributes(user="alice"), no_content():
        assert await asyncio.wait_for(asyncio.to_thread(current), 5) == {"user": "alice"}
        assert await asyncio.wait_for(asyncio.to_thread(content_allowed.get), 5) is False


def test_another_thread_has_its_own_and_takes_them_over_by_a_copied_context() -> None:
    found: list[dict[str, str]] = []
    with attributes(user="alice"):
        context = contextvars.copy_context()
        copied = threading.Thread(target=lambda: found.append(context.run(current)))
        own = threading.Thread(target=lambda: found.append(current()))
        for thread in (own, copied):
            thread.start()
            thread.join(5)
    assert found == [{}, {"user": "alice"}]


def test_a_generator_that_is_closed_elsewhere_raises_nothing() -> None:
    def work() -> Generator[dict[str, str], None, None]:
        with attributes(user="alice"), no_content():
            yield current()

    generator = work()
    assert contextvars.copy_context().run(next, generator) == {"user": "alice"}
    generator.close()
    assert (current(), content_allowed.get()) == ({}, True)


async def test_an_async_generator_that_is_closed_in_another_task_raises_nothing() -> None:
    async def work() -> AsyncIterator[dict[str, str]]:
        with attributes(user="alice"):
            yield current()

    generator: Any = work()
    assert await asyncio.create_task(anext(generator)) == {"user": "alice"}
    await generator.aclose()
    assert current() == {}


def test_as_a_decorator_it_labels_each_call_of_the_function() -> None:
    @attributes(feature="search")
    def work() -> dict[str, str]:
        return current()

    assert (work(), work(), current()) == ({"feature": "search"}, {"feature": "search"}, {})


async def test_as_a_decorator_it_holds_to_the_end_of_an_async_function() -> None:
    @attributes(feature="search")
    @no_content()
    async def work(user: str) -> tuple[dict[str, str], bool]:
        """Ask."""
        with attributes(user=user):
            await asyncio.sleep(0)
            return current(), content_allowed.get()

    alice, bob = await asyncio.wait_for(asyncio.gather(work("alice"), work("bob")), 5)
    assert (alice, bob) == (
        ({"feature": "search", "user": "alice"}, False),
        ({"feature": "search", "user": "bob"}, False),
    )
    assert (work.__name__, work.__doc__, current()) == ("work", "Ask.", {})


def test_a_decorated_function_can_call_itself() -> None:
    @attributes(feature="search")
    def work(deep: int) -> list[dict[str, str]]:
        return [current(), *(work(deep - 1) if deep else [])]

    assert (work(2), current()) == ([{"feature": "search"}] * 3, {})


def test_a_generator_cannot_be_decorated() -> None:
    def plain() -> Generator[None, None, None]:
        yield

    async def in_async() -> AsyncIterator[None]:
        yield

    for function in (plain, in_async):
        with pytest.raises(TypeError, match="is a generator; use `with` inside it, without a `yield`"):
            attributes(feature="search")(function)


def test_one_block_can_be_used_again_but_not_inside_itself() -> None:
    block = attributes(user="alice")
    for _ in range(2):
        with block:
            assert current() == {"user": "alice"}
            with pytest.raises(RuntimeError, match="create one for each"), block:
                pass
        assert current() == {}


def test_a_wrong_attribute_of_a_decorator_is_refused_before_any_call() -> None:
    with pytest.raises(ValueError, match="attribute 'job'"):
        attributes(job="x")


def test_no_content_nests_and_ends() -> None:
    with no_content():
        with no_content():
            assert content_allowed.get() is False
        assert content_allowed.get() is False
    assert content_allowed.get() is True


RESERVED = (
    *("job", "instance", "environment", "service_name", "shard", "le", "quantile", "error_type", "kind", "reason"),
    *("signal", "resource", "organization", "project", "id", "operation", "provider", "model", "request_id"),
    *(
        "trace_id",
        "span_id",
        "finish_reason",
        "request_model",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "detected_level",
    ),
    *("__name__", "__x", "gen_ai_x", "openai_x"),
)
ILLEGAL = ("", "a-b", "a.b", "1a", "é", "a b", "a\n", "x" * 129)


@pytest.mark.parametrize("name", [*RESERVED, *ILLEGAL])
def test_a_name_that_is_not_free_is_refused_where_it_is_given_and_nothing_is_labelled(name: str) -> None:
    entered = False
    with pytest.raises(ValueError, match=r"attribute .*(reserved|illegal|sets itself)"), attributes(**{name: "x"}):
        entered = True
    assert not entered
    assert current() == {}


NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True) | st.sampled_from([*RESERVED, *ILLEGAL])


@given(NAMES)
def test_the_settings_and_the_attributes_take_the_same_names(name: str) -> None:
    assert (
        taken_as_attribute(name) == taken_as_setting(label_names=[name]) == taken_as_setting(extra_labels={name: "x"})
    )


def taken_as_attribute(name: str) -> bool:
    try:
        with attributes(**{name: "x"}):
            return True
    except ValueError:
        return False


def taken_as_setting(**values: Any) -> bool:
    try:
        MonitoringSettings(**values)
    except SettingsError:
        return False
    return True
