"""A loss runs, and gives the same, on a device that is there besides the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

from lossaudit.fuzz import FuzzOptions, devices, engine
from lossaudit.fuzz.target import Build

SCRIPT = Path(__file__).with_name("on_another_device.py")


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch knows no devices made in Python",
)
def test_what_goes_wrong_on_another_device_is_found() -> None:
    ended = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert all(one["devices"] == ["cpu", "elsewhere"] for one in told.values())
    assert told["torch"]["findings"] == []
    assert told["weighted"]["findings"] == []
    ((code, message),) = told["twice"]["findings"]
    assert code == "LF404"
    assert message.startswith("on elsewhere the value is")
    ((code, message),) = told["refuses"]["findings"]
    assert code == "LF404"
    assert "on elsewhere it raises NotImplementedError: no kernel" in message


@pytest.mark.skipif(not devices.present(), reason="there is no device but the CPU")
def test_a_right_loss_is_right_on_the_devices_that_are_there() -> None:
    report = engine.audit("here:torch", [Build(torch.nn.CrossEntropyLoss())], FuzzOptions())
    assert report.findings == ()
    assert report.statistics["devices"] == ["cpu", *devices.present()]
