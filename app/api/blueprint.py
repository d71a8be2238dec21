"""The blueprint of the REST API."""

from collections.abc import Mapping
from typing import Any

from flask import Blueprint

from app.api.idempotency import idempotent
from app.http.route_options import set_options


class ApiBlueprint(Blueprint):
    """A blueprint whose POST routes all support Idempotency-Key.

    ``tags`` describes the groups of its operations in the OpenAPI document. Each route names its
    own as ``tag``.
    """

    def __init__(self, name: str, import_name: str, *, tags: Mapping[str, str]) -> None:
        super().__init__(name, import_name)
        self.tags = tags

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *args: Any, **kw: Any
    ) -> None:
        tag = kw.pop("tag", "")
        if view_func is not None:
            if "POST" in kw.get("methods", ()):
                view_func = idempotent(view_func)
            set_options(view_func, tag=tag)
        super().add_url_rule(rule, endpoint, view_func, *args, **kw)
