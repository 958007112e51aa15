"""Secrets: values that are looked up where they are used, and are never stored, shown or logged.

    Secret("db-password").get()                     anywhere
    connect(password=SecretTask("db-password")())   in a flow

A secret is looked for, in this order, in

    headwater.context.secrets                      a mapping, as flow.run(context={"secrets": {...}}) makes it
    the environment: HEADWATER_SECRET_DB_PASSWORD  the name in capitals, with "_" for all but letters and digits
    a file: /var/run/headwater/secrets/db-password as a Kubernetes Secret is mounted; HEADWATER_SECRETS_FOLDER
                                                   names another folder; one newline at the end is not part of it
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from headwater.core.context import context
from headwater.core.errors import FlowError, HeadwaterError
from headwater.core.task import Task
from headwater.tasks.attributes import defaults_from_attrs, needed

ENVIRONMENT_PREFIX = "HEADWATER_SECRET_"
FOLDER = Path("/var/run/headwater/secrets")
FOLDER_VARIABLE = "HEADWATER_SECRETS_FOLDER"
# Names are names of files too; none may lead out of the folder.
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
# What would store the value, or find it where it was stored.
STORING = ("target", "cache_for", "cache_validator")


class MissingSecretError(HeadwaterError, LookupError):
    """A secret is in none of the places where it was looked for."""


class Secret:
    """A secret by its name. Its value is not kept, so that this may be pickled and printed."""

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"A secret is called {name!r}; use letters, digits, '-', '_' and '.', and no '.' first.")
        self.name = name

    @property
    def variable(self) -> str:
        """The environment variable that may hold it."""
        return ENVIRONMENT_PREFIX + re.sub(r"[^A-Z0-9]", "_", self.name.upper())

    @property
    def file(self) -> Path:
        """The file that may hold it."""
        return Path(os.environ.get(FOLDER_VARIABLE) or FOLDER) / self.name

    def get(self) -> Any:
        """Return the value. Raises MissingSecretError, which says where it was looked for."""
        given = context.get("secrets")
        if given is not None and not isinstance(given, Mapping):
            raise TypeError(
                f"headwater.context.secrets is a {type(given).__name__}; give a mapping of names to values."
            )
        if given is not None and self.name in given:
            return given[self.name]
        if self.variable in os.environ:
            return os.environ[self.variable]
        return self._from_file()

    def _from_file(self) -> str:
        try:
            text = self.file.read_bytes().decode()
        except (FileNotFoundError, NotADirectoryError):
            problem = "there is none in headwater.context.secrets"
        except OSError as error:
            problem = f"the file cannot be read ({error.strerror})"
        except UnicodeDecodeError:
            problem = "the file is not UTF-8"
        else:
            return text.removesuffix("\n").removesuffix("\r")
        # Out of the handlers, so that nothing of the value is a part of this error's history.
        raise MissingSecretError(
            f'Secret "{self.name}" was not found: {problem}, the environment has no {self.variable}, '
            f"and {self.file} holds nothing to use; give it in one of these places."
        )

    def __repr__(self) -> str:
        return f'<Secret "{self.name}">'


class _SecretTask(Task):
    """What the tasks of this module share: nothing of what they return is stored, and a restart looks again."""

    def __init__(
        self, name: str | None, cast: Callable[[Any], Any] | None, raise_if_missing: bool, **options: Any
    ) -> None:
        stores = [option for option in STORING if options.get(option) is not None]
        if options.pop("checkpoint", None):
            stores.append("checkpoint")
        if stores:
            raise FlowError(f'Task "{name}" returns a secret, which is never stored; leave out {", ".join(stores)}.')
        if cast is not None and not callable(cast):
            raise TypeError(f'Task "{name}": cast is {cast!r}; give a function of the value, such as int.')
        super().__init__(name, **options)
        self.checkpoint = False
        self.cast = cast
        self.raise_if_missing = raise_if_missing

    def _converted(self, value: Any) -> Any:
        if self.cast is None:
            return value
        try:
            return self.cast(value)
        except Exception as error:
            kind = type(error).__name__
        # What the function said may quote the value: it is left out, and not chained either.
        raise ValueError(f'Task "{self.name}": the value cannot be converted by {self.cast!r} ({kind}).')


class SecretTask(_SecretTask):
    """Returns the secret *name*, through *cast* if there is one.

    Without *raise_if_missing* it returns None for one that is nowhere. Its result is never checkpointed.
    """

    def __init__(
        self,
        name: str | None = None,
        cast: Callable[[Any], Any] | None = None,
        raise_if_missing: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(name, cast, raise_if_missing, **options)
        self.secret_name = None if name is None else Secret(name).name

    @defaults_from_attrs("secret_name")
    def run(self, secret_name: str | None = None) -> Any:
        try:
            value = Secret(needed(secret_name, self, "secret_name")).get()
        except MissingSecretError:
            if self.raise_if_missing:
                raise
            return None
        return self._converted(value)


class EnvVarSecret(_SecretTask):
    """Returns the environment variable *env_var* of the process that runs it, through *cast* if there is one.

    Without *raise_if_missing* it returns None for one that is not set. Its result is never checkpointed.
    """

    def __init__(
        self,
        env_var: str | None = None,
        name: str | None = None,
        cast: Callable[[Any], Any] | None = None,
        raise_if_missing: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name or env_var, cast, raise_if_missing, **options)
        self.env_var = env_var

    @defaults_from_attrs("env_var")
    def run(self, env_var: str | None = None) -> Any:
        variable = needed(env_var, self, "env_var")
        value = os.environ.get(variable)
        if value is not None:
            return self._converted(value)
        if self.raise_if_missing:
            raise MissingSecretError(f'Task "{self.name}": the environment has no {variable}; set it where tasks run.')
        return None


__all__ = ["EnvVarSecret", "MissingSecretError", "Secret", "SecretTask"]
