"""State handlers that tell of runs.

    @task(state_handlers=[slack_notifier(only_states=[Failed])])
    with Flow("etl", state_handlers=[slack_notifier]) as flow:

A notifier stands in `state_handlers` as it is, or called with options. One that cannot deliver logs a warning; the run
goes on in the state that it had. It takes no longer than twice its timeout to find out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from headwater.core.context import context
from headwater.core.states import State

# Loaded with what the notifiers need only when something is to be told.
SLACK_SECRET = "SLACK_WEBHOOK_URL"
WEBHOOK_SECRET = "WEBHOOK_URL"
TIMEOUT_SECONDS = 5.0

Handler = Callable[[Any, State | None, State], State | None]

logger = logging.getLogger("headwater.notifications")


@dataclass(frozen=True)
class Notifier:
    """A state handler that posts to a webhook. States count with those derived from them."""

    what: str
    make_payload: Callable[[Any, State | None, State], Any]
    only_states: tuple[type[State], ...] | None = None
    ignore_states: tuple[type[State], ...] = ()
    secret: str = WEBHOOK_SECRET
    url: str | None = field(default=None, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        from headwater.tasks.attributes import above_zero

        above_zero(self.timeout_seconds, self.what)

    def __call__(self, obj: Any, old_state: State | None, new_state: State) -> State:
        if self._tells_of(new_state):
            try:
                self._deliver(self.make_payload(obj, old_state, new_state))
            except Exception as error:
                name = getattr(obj, "name", obj)
                words = "%s could not tell of '%s', which is now %s. %s: %s"
                logger.warning(words, self.what, name, new_state.name, type(error).__name__, error)
        return new_state

    def _tells_of(self, state: State) -> bool:
        wanted = self.only_states is None or isinstance(state, self.only_states)
        return wanted and not isinstance(state, self.ignore_states)

    def _deliver(self, payload: Any) -> None:
        from headwater.tasks.notifications import post
        from headwater.tasks.secrets import Secret

        post(self.url or Secret(self.secret).get(), payload, self.timeout_seconds)


def slack_notifier(
    obj: Any = None,
    old_state: State | None = None,
    new_state: State | None = None,
    *,
    only_states: Iterable[type[State]] | None = None,
    ignore_states: Iterable[type[State]] | None = None,
    webhook_secret: str | None = None,
    webhook_url: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Any:
    """Tell of a new state by an incoming webhook of Slack; its URL is the secret *webhook_secret*, or *webhook_url*.

    Called with options only, it returns a state handler that has them.
    """
    notifier = Notifier(
        "slack_notifier",
        slack_payload,
        _states("slack_notifier: only_states", only_states),
        _states("slack_notifier: ignore_states", ignore_states) or (),
        webhook_secret or SLACK_SECRET,
        webhook_url,
        timeout_seconds,
    )
    return notifier if new_state is None else notifier(obj, old_state, new_state)


def webhook_notifier(
    url: Any = None,
    old_state: State | None = None,
    new_state: State | None = None,
    *,
    only_states: Iterable[type[State]] | None = None,
    ignore_states: Iterable[type[State]] | None = None,
    webhook_secret: str | None = None,
    make_payload: Callable[[Any, State | None, State], Any] | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Any:
    """POST a new state as JSON to *url*, or to the secret *webhook_secret*; *make_payload* says what instead.

    Called with options only, it returns a state handler that has them; as a state handler, its first argument is the
    flow or the task.
    """
    notifier = Notifier(
        "webhook_notifier",
        make_payload or state_payload,
        _states("webhook_notifier: only_states", only_states),
        _states("webhook_notifier: ignore_states", ignore_states) or (),
        webhook_secret or WEBHOOK_SECRET,
        url if new_state is None else None,
        timeout_seconds,
    )
    return notifier if new_state is None else notifier(url, old_state, new_state)


def callback_factory(fn: Callable[[Any, State], Any], check: Callable[[State], bool]) -> Handler:
    """Make a state handler that calls `fn(obj, state)` for the states of which `check(state)` is true.

    What *fn* raises counts as with any state handler: it fails the run.
    """
    for what, function in (("fn", fn), ("check", check)):
        if not callable(function):
            raise TypeError(f"callback_factory: {what} is {function!r}; give a function.")

    def handler(obj: Any, old_state: State | None, new_state: State) -> State:
        if check(new_state):
            fn(obj, new_state)
        return new_state

    return handler


def state_payload(obj: Any, old_state: State | None, new_state: State) -> dict[str, Any]:
    """Return what a webhook is told."""
    return {
        "kind": "task" if _is_task(obj) else "flow",
        "name": _name(obj),
        "flow": context.get("flow_name"),
        "flow_run": context.get("flow_run_name"),
        "old_state": None if old_state is None else old_state.name,
        "state": new_state.name,
        "message": new_state.message,
    }


def slack_payload(obj: Any, old_state: State | None, new_state: State) -> dict[str, Any]:
    """Return what Slack is told: a line, with the message beside the state's colour."""
    kind = "Task" if _is_task(obj) else "Flow"
    run = context.get("flow_run_name")
    where = f" in run {_escaped(run)}" if run else ""
    text = f"{kind} *{_escaped(_name(obj))}*{where} is now *{new_state.name}*"
    message = _escaped(new_state.message or "")
    return {"text": text, "attachments": [{"color": new_state.color, "text": message, "fallback": message}]}


def _is_task(obj: Any) -> bool:
    from headwater.core.task import Task

    return isinstance(obj, Task)


def _name(obj: Any) -> str:
    """Of a task its whole name, which says which child it is."""
    whole = context.get("task_full_name") if _is_task(obj) else None
    return str(whole or getattr(obj, "name", obj))


def _escaped(text: Any) -> str:
    """Return a text in which Slack sees no markup of its own."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _states(what: str, given: Iterable[type[State]] | None) -> tuple[type[State], ...] | None:
    if given is None:
        return None
    kinds: tuple[type[State], ...] = tuple(given) if isinstance(given, Iterable) else (given,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, State):
            raise TypeError(f"{what} holds {kind!r}; give classes of headwater.states, such as [Failed].")
    return kinds


__all__ = ["Notifier", "callback_factory", "slack_notifier", "webhook_notifier"]
