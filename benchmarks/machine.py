"""Description of machine and software versions, for the header of every table."""

import os
import platform
from pathlib import Path

import torch


def machine(device: torch.device) -> dict[str, str | int]:
    """Describe processor, cores, accelerator and software versions."""
    about: dict[str, str | int] = {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else _count(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        about["gpu"] = torch.cuda.get_device_name(device)
        about["gpu memory"] = torch.cuda.get_device_properties(device).total_memory
        about["cuda"] = str(torch.version.cuda)
    return about


def cpu_model() -> str:
    """Return the name of the processor, from Linux if possible, otherwise from Python."""
    listed = Path("/proc/cpuinfo")
    for line in listed.read_text().splitlines() if listed.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _count() -> int:
    return os.cpu_count() or 1
