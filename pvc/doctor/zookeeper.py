"""A ZooKeeper of Debian's on this machine: whether it keeps what it is given, and knows of the others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pvc.config import Config
from pvc.doctor.findings import Finding, ok, warning, wrong
from pvc.doctor.machine import Machine

FILE = "/etc/zookeeper/conf/zoo.cfg"
_DAEMON = "/etc/init.d/zookeeper"


def configuration(machine: Machine, config: Config) -> Iterator[Finding]:
    """Nothing where the cluster's ZooKeeper is elsewhere."""
    hosts = (address.rpartition(":")[0].strip("[]") for address in config.store.hosts)
    text = machine.text(FILE)
    if config.standalone or not text or not any(map(machine.has_address, hosts)):
        return
    if not machine.exists(_DAEMON):
        yield warning("zookeeper", "ZooKeeper is installed here without its daemon.", "apt-get install zookeeperd")
    options = dict(re.findall(r"^\s*([\w.]+)\s*=\s*(.*?)\s*$", text, re.MULTILINE))
    folder = options.get("dataDir", "")
    if re.match(r"/(var/)?tmp(/|$)", folder):
        mend = f"sed -i s,^dataDir=.*,dataDir=/var/lib/zookeeper, {FILE} && systemctl restart zookeeper"
        yield wrong("zookeeper", f'ZooKeeper keeps its records in "{folder}", which is emptied at boot.', mend)
    elif len(config.store.hosts) > 1 and not any(option.startswith("server.") for option in options):
        text = f'ZooKeeper here is alone: "{FILE}" has no server.1=ADDRESS:2888:3888, nor the others.'
        yield wrong("zookeeper", text, f"editor {FILE}")
    else:
        yield ok("zookeeper", f'ZooKeeper keeps its records in "{folder}".')
