"""A guest that really boots: 32 MB of disk, Debian's kernel, one shell script. Its console says what it sees.

boot cpus=1 memory=95M
tick 12 disks=vda:32M,vdb:64M nics=eth0:52:54:00:12:34:56
"""

from tests.guest.build import Guest, build

__all__ = ["Guest", "build"]
