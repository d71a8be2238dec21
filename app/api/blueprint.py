"""The blueprint of the REST API."""

from typing import Any

from flask import Blueprint

from app.api.idempotency import idempotent


class ApiBlueprint(Blueprint):
    """A blueprint whose POST routes all support Idempotency-Key.

    The description becomes that of the blueprint's tag in the OpenAPI document.
    """

    def __init__(self, name: str, import_name: str, *, description: str) -> None:
        super().__init__(name, import_name)
        self.description = description

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Any = None, *args: Any, **kw: Any
    ) -> None:
        if view_func is not None and "POST" in kw.get("methods", ()):
            view_func = idempotent(view_func)
        super().add_url_rule(rule, endpoint, view_func, *args, **kw)
