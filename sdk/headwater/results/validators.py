"""Cache validators: whether a cached value may stand in for a run with these inputs and parameters.

    all_inputs                        made from the same arguments: the default
    all_parameters                    made in a run of the flow with the same parameters
    partial_inputs_only(["day"])      made from the same values of some arguments
    partial_parameters_only(["day"])  made with the same values of some parameters
    duration_only                     not expired, whatever it was made from
    never_use                         never

Users who only say for how long to cache get all_inputs: another argument is another value. duration_only hands the
value of one argument to a run with another, so it has to be asked for. Expired entries are offered to no validator.

A validator of one's own is a function `validator(entry, inputs, parameters) -> bool`. `entry.inputs` and
`entry.parameters` hold hashes, to be compared with those of `hash_inputs`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from headwater.core.errors import FlowError
from headwater.results.hashing import hash_inputs

if TYPE_CHECKING:
    from headwater.results.cache_entry import CacheEntry


class Validator(Protocol):
    """Tells whether an entry, whose value is not read yet, may be used."""

    def __call__(self, entry: CacheEntry, inputs: Mapping[str, Any], parameters: Mapping[str, Any], /) -> bool: ...


@dataclass(frozen=True)
class SameContent:
    """Accepts what was made from the same values of these arguments and parameters; None stands for all of them.

    Entries with different content are kept side by side. *use* false accepts nothing.
    """

    inputs: tuple[str, ...] | None = ()
    parameters: tuple[str, ...] | None = ()
    use: bool = True

    def content(
        self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return the hashes of what is compared: of arguments, and of parameters."""
        return _hashes("argument", inputs, self.inputs), _hashes("parameter", parameters, self.parameters)

    def __call__(self, entry: CacheEntry, inputs: Mapping[str, Any], parameters: Mapping[str, Any], /) -> bool:
        if not self.use:
            return False
        arguments, run_parameters = self.content(inputs, parameters)
        return _same(arguments, entry.inputs, self.inputs) and _same(run_parameters, entry.parameters, self.parameters)


never_use = SameContent(use=False)
duration_only = SameContent()
all_inputs = SameContent(inputs=None)
all_parameters = SameContent(parameters=None)


def partial_inputs_only(validate_on: Iterable[str] | None = None) -> SameContent:
    """Compare these arguments of the task only; without names, all of them."""
    return SameContent(inputs=_names("partial_inputs_only", validate_on))


def partial_parameters_only(validate_on: Iterable[str] | None = None) -> SameContent:
    """Compare these parameters of the flow only; without names, all of them."""
    return SameContent(parameters=_names("partial_parameters_only", validate_on))


def check_validator(validator: Any) -> None:
    """Raise FlowError for what cannot be a validator, best when the task is made."""
    if validator in (partial_inputs_only, partial_parameters_only):
        name = validator.__name__
        raise FlowError(f'cache_validator={name} is to be called: {name}(validate_on=["name"]).')
    if not callable(validator):
        raise FlowError(
            f"cache_validator is {validator!r}; give one such as all_inputs, "
            "or a function of an entry, the inputs and the parameters."
        )


def _names(function: str, validate_on: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(validate_on, str):
        raise FlowError(f'{function}: validate_on is a list of names; write validate_on=["{validate_on}"].')
    return None if validate_on is None else tuple(sorted(set(validate_on)))


def _hashes(what: str, values: Mapping[str, Any], names: tuple[str, ...] | None) -> dict[str, str]:
    unknown = [name for name in names or () if name not in values]
    if unknown:
        raise FlowError(
            f'The cache validator compares the {what} "{unknown[0]}", which is not among those of this run: '
            f"{', '.join(sorted(values)) or 'none'}."
        )
    return hash_inputs(values, names)


def _same(mine: Mapping[str, str], cached: Mapping[str, str], names: tuple[str, ...] | None) -> bool:
    return mine == (cached if names is None else {name: cached.get(name) for name in names})
