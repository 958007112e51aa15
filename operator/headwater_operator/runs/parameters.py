"""Whether the parameters of a run fit the schema of its version. Pure."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from headwater_operator.kinds import Manifest
from headwater_operator.objects.others import run_parameters

# What a parameter named by YAML 1.1's y, n, yes, no, on or off has become on its way here.
YAML_BOOLEANS = ("true", "false")


def parameter_problem(run: Manifest, version: Manifest) -> str | None:
    """Return what is wrong with a run's parameters, or None. Names the field and what the flow takes."""
    schema = version.get("status", {}).get("parametersSchema") or {}
    given = run_parameters(run, version)
    properties = schema.get("properties", {})
    takes = f"flow takes {', '.join(sorted(properties)) or 'no parameters'}"
    for name in given:
        if name not in properties:
            hint = ""
            if name in YAML_BOOLEANS:
                hint = " (YAML reads y, n, yes, no, on and off as booleans: quote such a name)"
            return f"spec.parameters.{name}: there is no such parameter{hint}; the {takes}"
    missing = sorted(set(schema.get("required", [])) - set(given))
    if missing:
        return f"spec.parameters: {', '.join(missing)} must be given; the {takes}"
    errors = sorted(Draft202012Validator(schema).iter_errors(given), key=lambda error: list(map(str, error.path)))
    if errors:
        place = ".".join(["spec.parameters", *(str(part) for part in errors[0].path)])
        return f"{place}: {errors[0].message}"
    return None
