"""A real cluster on one machine: ZooKeeper, Ceph, three hypervisors with their agents, two servers."""
