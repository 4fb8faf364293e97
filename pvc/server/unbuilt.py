"""Paths of the established API that this version does not have: they say so, each with one sentence."""

from __future__ import annotations

from aiohttp import web

from pvc.errors import NotBuilt
from pvc.server.parts import BASE

_UNBUILT = (
    ("POST", "/login", "Logging in with a session"),
    ("POST", "/logout", "Logging in with a session"),
    ("*", "/network/{vni}/acl{tail:.*}", "A network's access list"),
    ("*", "/network/{vni}/lease{tail:.*}", "A network's DHCP lease list"),
    ("POST", "/node/{node}/coordinator-state", "Electing a coordinator (all servers are equal)"),
    ("*", "/sriov{tail:.*}", "SR-IOV"),
    ("*", "/storage/ceph/benchmark", "The storage benchmark"),
    ("POST", "/storage/ceph/osddb", "An OSD database"),
    ("POST", "/storage/ceph/osd", "Making an OSD"),
    ("POST|PUT|DELETE", "/storage/ceph/osd/{osd}", "Replacing, refreshing or removing an OSD"),
    ("*", "/provisioner{tail:.*}", "The provisioner"),
)


def add_unbuilt(app: web.Application) -> None:
    """Call last: a path that is built is found first."""
    for methods, path, what in _UNBUILT:
        for method in methods.split("|"):
            app.router.add_route(method, BASE + path, _sayer(what))


def _sayer(what: str):  # type: ignore[no-untyped-def]
    async def say(_request: web.Request) -> web.StreamResponse:
        raise NotBuilt(what=what)

    return say
