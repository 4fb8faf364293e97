"""Whole-machine scenarios: a real `pvc serve`, libvirt and QEMU, spoken to through the shell client."""
