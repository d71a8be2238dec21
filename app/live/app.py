"""The ASGI application: GraphQL on the line, and the whole Flask application beside it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from flask import Flask
from starlette.types import Receive, Scope, Send
from strawberry.http.exceptions import HTTPException

from app import observe
from app.access import access_to
from app.address import client_of
from app.config import Settings
from app.errors import ApiError
from app.keys import keyring
from app.live.figures import CONNECTIONS, ENDS
