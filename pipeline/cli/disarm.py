"""`moonwatch disarm`: rules with `when: armed` report nothing from now on."""

from pipeline.cli.arm import By, Cameras, switch
from pipeline.cli.options import AsJson, File, Overrides
from pipeline.deployment.loader import load


def disarm(
    file: File,
    overrides: Overrides = [],
    camera: Cameras = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Disarm all cameras, or some: rules with `when: armed` are silent, but go on counting."""
    switch(load(file, overrides), camera or (), by, is_armed=False, as_json=as_json)
