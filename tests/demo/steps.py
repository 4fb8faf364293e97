"""What the demo shows. Each step types its commands and returns, in a sentence, what it has verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.demo.show import Unverified
from tests.demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    act: Callable[[Stage], str]


def look(on: Stage) -> str:
    on.show.type("pvc doctor")
    on.show.type("pvc status")
    on.show.type("pvc node list")
    expect(len(on.show.ask("pvc node list")) == 1, "There should be one node.")
    return "nothing that pvc needs is missing, pvc serve answers, and this machine is its node."


def add_network(on: Stage) -> str:
    on.show.type(f"pvc network add 100 -d demo -b {on.bridge}")
    on.show.type("pvc network list")
    expect([item["vni"] for item in on.show.ask("pvc network list")] == [100], "There should be one network, 100.")
    return "Network 100 exists."


def add_volume(on: Stage) -> str:
    on.show.type("pvc storage volume add local demo 48M")
    on.show.type("pvc storage volume list")
    return f"Volume local/demo exists, one of {len(volumes(on, 1))}."


def upload(on: Stage) -> str:
    on.show.type("pvc storage volume upload local demo guest.qcow2 -f qcow2")
    done = [task for task in on.show.ask("pvc task list") if task["target"] == "volume/local/demo"]
    expect([task["status"] for task in done] == ["done"], "The upload should be recorded as done.")
    expect(len(on.pool_files()) == 1, f"The pool should hold one volume and no leftovers: {on.pool_files()}.")
    return "The image went into the volume as a stream; nothing else is left in the pool."


def define(on: Stage) -> str:
    on.show.cat("demo.xml")
    on.show.type("pvc vm define demo.xml")
    vm = the_vm(on)
    on.vm_uuid = vm["uuid"]
    expect(vm["state"] == "stop", "A new VM should be stopped.")
    return "The VM is defined and stopped."


def start(on: Stage) -> str:
    on.show.type("pvc vm start demo")
    expect(the_vm(on)["state"] == "start", "The VM should run.")
    return "The VM runs."


def console(on: Stage) -> str:
    on.show.watch("pvc vm log demo -f", r"tick \d+ disks=vda:48M nics=$", r"tick \d+ ")
    return "The guest booted from the uploaded image, sees its 48 MB disk, and ticks."


def attach_disk(on: Stage) -> str:
    on.show.type("pvc storage volume add local data 64M")
    on.show.type("pvc vm volume add demo local/data")
    on.show.watch("pvc vm log demo -f -l 1", "disks=vda:48M,vdb:64M")
    return "The running guest sees its second disk."


def attach_nic(on: Stage) -> str:
    on.show.type("pvc vm network add demo 100")
    mac = the_vm(on)["networks"][0]["mac"]
    on.show.watch("pvc vm log demo -f -l 1", f"nics=eth0:{mac}")
    return f"The running guest sees its NIC, {mac}."


def everything(on: Stage) -> str:
    on.show.type("pvc vm info demo")
    vm = the_vm(on)
    expect(len(vm["disks"]) == 2 and len(vm["networks"]) == 1, "The VM should have two disks and one NIC.")
    return "The configuration says what the guest sees."


def detach_nic(on: Stage) -> str:
    on.show.type("pvc vm network remove demo 100")
    on.show.watch("pvc vm log demo -f -l 1", "nics=$")
    expect(not the_vm(on)["networks"], "The VM should have no NIC.")
    return "The NIC is gone, for the guest too."


def detach_disk(on: Stage) -> str:
    on.show.type("pvc vm volume remove demo local/data")
    on.show.watch("pvc vm log demo -f -l 1", "disks=vda:48M ")
    expect(len(the_vm(on)["disks"]) == 1, "The VM should have one disk.")
    return "The disk is gone, for the guest too; the volume is kept."


def tag(on: Stage) -> str:
    on.show.type("pvc vm tag add demo production")
    on.show.type("pvc vm tag get demo")
    on.show.type("pvc vm list -g production")
    expect([tag["name"] for tag in the_vm(on)["tags"]] == ["production"], "The VM should have one tag.")
    return "The tag finds the VM."


def shut_down(on: Stage) -> str:
    on.show.type("pvc vm shutdown demo")
    expect(the_vm(on)["state"] == "stop", "The VM should be stopped.")
    on.show.watch("pvc vm log demo -l 3 -f", "powering off: power button")
    return "The guest heard the power button and powered off by itself."


def remove(on: Stage) -> str:
    on.show.type("pvc vm remove demo -y")
    on.show.type("pvc storage volume remove local data -y")
    on.show.type("pvc network remove 100 -y")
    volumes(on, 0)
    expect(on.show.ask("pvc vm list") == [], "There should be no VM.")
    expect(on.pool_files() == [], f"The pool should be empty: {on.pool_files()}.")
    return "Nothing is left: no VM, no volume, no network."


STEPS = (
    Step("What is there", look),
    Step("A network for NICs", add_network),
    Step("A volume", add_volume),
    Step("Upload an image into it, as a stream", upload),
    Step("Define a VM from libvirt XML", define),
    Step("Start it", start),
    Step("Its console", console),
    Step("Plug in a disk while it runs", attach_disk),
    Step("Plug in a NIC while it runs", attach_nic),
    Step("The whole VM", everything),
    Step("Unplug the NIC", detach_nic),
    Step("Unplug the disk", detach_disk),
    Step("Tag it", tag),
)
ENDING = (
    Step("Shut it down", shut_down),
    Step("Remove everything", remove),
)


def expect(true: bool, sentence: str) -> None:
    if not true:
        raise Unverified(sentence)


def the_vm(on: Stage) -> dict[str, Any]:
    vms: list[dict[str, Any]] = on.show.ask("pvc vm list")
    expect(len(vms) == 1 and vms[0]["name"] == "demo", 'There should be one VM, "demo".')
    return vms[0]


def volumes(on: Stage, count: int) -> list[Any]:
    found: list[Any] = on.show.ask("pvc storage volume list")
    expect(len(found) == count, f"There should be {count} volumes, not {len(found)}.")
    return found
