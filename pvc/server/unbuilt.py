"""Paths of the established API that this version does not have: they say so, each with one sentence."""

from __future__ import annotations

from aiohttp import web

from pvc.errors import NotBuilt
from pvc.server.parts import BASE

_UNBUILT = (
    ("/login", "Logging in with a session"),
    ("/logout", "Logging in with a session"),
    ("/initialize", "Initialising the cluster"),
    ("/backup", "Backing up the cluster"),
    ("/restore", "Restoring the cluster"),
    ("/network/{vni}/acl{tail:.*}", "A network's access list"),
    ("/network/{vni}/lease{tail:.*}", "A network's DHCP lease list"),
    ("/node/{node}/coordinator-state", "Electing a coordinator (all servers are equal)"),
    ("/node/{node}/domain-state", "Flushing a node and making it ready again"),
    ("/node/{node}/{what}", "Changing or reading this part of a node"),
    ("/vm/{vm}/locks", "Flushing a VM's locks"),
    ("/sriov{tail:.*}", "SR-IOV"),
    ("/storage/ceph/benchmark", "The storage benchmark"),
    ("/storage/ceph/option", "Setting an OSD option"),
    ("/storage/ceph/osd{tail:.*}", "The list of OSDs"),
    ("/storage/ceph/osddb", "An OSD database"),
    ("/storage/ceph/status", "The status of Ceph"),
    ("/storage/ceph/utilization", "The utilization of Ceph"),
    ("/provisioner{tail:.*}", "The provisioner"),
)


def add_unbuilt(app: web.Application) -> None:
    """Call last: a path that is built is found first."""
    for path, what in _UNBUILT:
        app.router.add_route("*", BASE + path, _sayer(what))


def _sayer(what: str):  # type: ignore[no-untyped-def]
    async def say(_request: web.Request) -> web.StreamResponse:
        raise NotBuilt(what=what)

    return say
