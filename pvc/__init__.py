"""A virtual-machine cluster in one executable."""

__version__ = "0.1.0"
