from collections.abc import Callable
from typing import NamedTuple

class KazooState:
    SUSPENDED: str
    CONNECTED: str
    LOST: str

class EventType:
    CREATED: str
    DELETED: str
    CHANGED: str
    CHILD: str
    NONE: str

class WatchedEvent:
    type: str
    path: str

class ZnodeStat:
    version: int
    ephemeralOwner: int
    mzxid: int

class Callback(NamedTuple):
    type: str
    func: Callable[..., object]
    args: tuple[object, ...]
