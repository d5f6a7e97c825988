"""`/openapi.json` describes every route, and what it allows is answered as it says: schemathesis tries."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS

from app.access.roles import Role
from tests.contract.test_routes import APP, ROUTES
from tests.installation import Installation, Tenant, basic

# What needs no description: the description itself and the page that shows it.
_LIBRARY = ("/docs/", "/openapi.json")
# Its own folder of published descriptions, where there is one beside the checkout.
PUBLISHED = Path(os.environ.get("PUBLISHED_OPENAPI") or Path(__file__).parents[3] / "shared" / "openapi")
_EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES") or 4)


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = APP.test_client().get("/openapi.json").json
    return spec


def test_every_route_is_described_and_nothing_else() -> None:
    described = {(path, method.upper()) for path, found in _spec()["paths"].items() for method in found if method != "parameters"}
    routed = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.rule.rstrip("/")), route.method)
        for route in ROUTES
        if not route.rule.startswith(_LIBRARY)
    }
    assert routed - described == set(), "undescribed"
    assert described - routed == set(), "described and not there"


@pytest.fixture(scope="module")
def tenant(sqlite_home: Installation) -> Tenant:
    return sqlite_home.tenant()


def _checks(*, without: tuple[str, ...]) -> list[Any]:
    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    return [CHECKS.get_one(name) for name in names if name not in without]


_BOUNDED = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _words(fault: BaseException) -> str:
    return " / ".join(_words(each) for each in fault.exceptions) if isinstance(fault, BaseExceptionGroup) else str(fault)


def given_cases(operation: Any) -> Any:
    from hypothesis import given

    return given(case=operation.as_strategy())


def _try(schema: Any, tenant: Tenant, headers: dict[str, str], *, without: tuple[str, ...] = ()) -> Iterator[str]:
    """Send what the description allows to every operation; yields what was answered otherwise than it says."""
    for result in schema.get_all_operations():
        operation = result.ok()

        @_BOUNDED
        @given_cases(operation)
        def attempt(case: Any) -> None:
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=_checks(without=without))

        try:
            attempt()
        except (Exception, BaseExceptionGroup) as fault:
            yield f"{operation.method.upper()} {operation.path}: {_words(fault)}"


@pytest.mark.parametrize("what", ["compatible", "own"])
def test_what_the_description_allows_is_answered_as_it_says(sqlite_home: Installation, tenant: Tenant, what: str) -> None:
    # Where every answer is a refusal nothing would be tried, so the caller may do everything.
    compatible = re.compile(r"^/(track|engage|groups|import|flags|settings|record|api/)")
    schema = schemathesis.openapi.from_wsgi("/openapi.json", sqlite_home.app)
    chosen = schema.include(func=lambda ctx: bool(compatible.match(ctx.operation.path)) == (what == "compatible"))
    found = list(_try(chosen, tenant, tenant.auth(Role.ADMIN)))
    assert not found, "\n".join(found)


# --- the published descriptions


def _patched(name: str) -> dict[str, Any]:
    """A published description as it would be without its known mistakes (wire section 25)."""
    spec: dict[str, Any] = yaml.safe_load((PUBLISHED / name).read_text())
    refusals = {code: {"description": "refused"} for code in ("400", "401", "403", "404", "405", "409", "413", "415", "429")}
    for found in spec["paths"].values():
        for method, operation in found.items():
            if method != "parameters":
                operation["responses"] = refusals | {str(k): v for k, v in operation["responses"].items()}
    return spec


@pytest.mark.parametrize(
    ("name", "prefix", "paths"),
    [
        ("ingestion.openapi.yaml", "", ("/track", "/import", "/engage", "/groups")),
        ("identity.openapi.yaml", "", ("/track", "/import")),
        ("export.openapi.yaml", "/api/2.0", ("/export",)),
        ("query.openapi.yaml", "/api/query", ("/engage",)),
        ("gdpr.openapi.yaml", "/api/app", ("/data-",)),
        ("service-accounts.openapi.yaml", "/api/app", ("/organizations", "/projects")),
    ],
)
def test_the_published_descriptions_hold_here(
    sqlite_home: Installation, tenant: Tenant, name: str, prefix: str, paths: tuple[str, ...]
) -> None:
    if not (PUBLISHED / name).is_file():
        pytest.skip("the published descriptions are not beside the checkout; name their folder in PUBLISHED_OPENAPI")
    spec = _patched(name)
    spec["paths"] = {path: found for path, found in spec["paths"].items() if path.startswith(paths)}
    schema = schemathesis.openapi.from_dict(spec)
    schema.app = sqlite_home.app
    schema.config.update(base_url=f"http://localhost{prefix}")
    headers = basic(tenant.account[0], tenant.account[1])
    # The answers' shapes have mistakes of their own; that they are answers, and of the documented codes, holds.
    found = list(_try(schema, tenant, headers, without=("response_schema_conformance", "content_type_conformance")))
    assert found == []
