"""Wall clocks of daemons that are wrong, and that are set while they run."""

import os
import pathlib
import subprocess

import pytest


class Clock:
    """The wall clock of one daemon: start it with its environment."""

    def __init__(self, library, path, offset_s):
        self.path = path
        self.environment = {
            "LD_PRELOAD": str(library),
            "VIGNETTE_CLOCK": str(path),
            "ASAN_OPTIONS": "verify_asan_link_order=0",
        }
        self.jump(offset_s)

    def jump(self, offset_s):
        """From now on so many seconds ahead of the machine's."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(str(int(offset_s)))
        fresh.rename(self.path)


class Clocks:
    """clocks(offset) makes one, from the source next to this file."""

    def __init__(self, folder):
        self.folder = folder
        self.made = 0
        self.library = folder / "clock.so"
        source = pathlib.Path(__file__).with_name("clock.c")
        compiler = os.environ.get("CC", "cc").split()
        try:
            subprocess.run(
                [*compiler, "-O1", "-shared", "-fPIC", "-o", self.library, source, "-ldl"],
                check=True, capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError) as why:
            pytest.skip(f"no wrong clocks, for want of a compiler: {why}")

    def __call__(self, offset_s=0):
        self.made += 1
        return Clock(self.library, self.folder / f"offset-{self.made}", offset_s)
