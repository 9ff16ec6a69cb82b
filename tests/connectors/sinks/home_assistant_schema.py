"""Run by a Python that has Home Assistant: what its own schemas say of announcements.

`PYTHON home_assistant_schema.py FILE`, where FILE holds a JSON list of [topic, payload]. Writes, as
JSON, a list of faults and how many components were looked at.
"""

# It knows nothing of this repository, and the names below exist only in Home Assistant.
# mypy: ignore-errors

import importlib
import json
import sys
import tempfile
from pathlib import Path

import voluptuous
from homeassistant.components.mqtt import discovery
from homeassistant.core import HomeAssistant


async def looked_at(announcements: list[list[str]]) -> tuple[list[str], int]:
    """Validated as there: the device, then each component with what it inherits."""
    faults, number = [], 0
    with tempfile.TemporaryDirectory() as folder:
        home = HomeAssistant(folder)
        for topic, payload in announcements:
            device = discovery._parse_device_payload(home, payload, topic.split("/")[2], None)
            if not device:
                faults.append(f"{topic} is refused")
                continue
            for name, component in device["components"].items():
                said = {key: value for key, value in component.items() if key != "platform"}
                if not said:
                    continue
                number += 1
                said |= {"device": device["device"], "origin": device["origin"]}
                discovery._merge_common_device_options(said, device)
                platform = f"homeassistant.components.mqtt.{component['platform']}"
                try:
                    importlib.import_module(platform).DISCOVERY_SCHEMA(said)
                except voluptuous.Invalid as error:
                    faults.append(f"{topic} {name}: {error}")
    return faults, number


if __name__ == "__main__":
    import asyncio

    found = asyncio.run(looked_at(json.loads(Path(sys.argv[1]).read_text())))
    sys.stdout.write(f"{json.dumps(found)}\n")
