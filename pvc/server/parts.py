"""What the handlers are given: keys into the application."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from pvc.config import Config
from pvc.storage.administration import Administration
from pvc.storage.base import Pool

CONFIG = web.AppKey("config", Config)
CEPH: web.AppKey[Administration | None] = web.AppKey("ceph")
POOLS = web.AppKey("pools", Mapping[str, Pool])

WHO = web.RequestKey("who", str)

BASE = "/api/v1"


def message(text: str, **more: object) -> web.Response:
    """text: one sentence with a final period."""
    return web.json_response({"message": text, **more})


def who(request: web.Request) -> str:
    return request[WHO]
