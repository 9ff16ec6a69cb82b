"""The bundled detector's data (weights, licence, facts) and the 80 names it knows."""

from pathlib import Path

WEIGHTS = Path(__file__).with_name("centernet_mobilenetv3_512.onnx")
SIDE = 512
"""The net looks at SIDE x SIDE pixels, whatever the picture's aspect."""

_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork,
knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""
NAMES: tuple[str, ...] = tuple(name.strip() for name in _NAMES.replace("\n", " ").split(","))
"""COCO's 80 names; a name's place is the class number in the net's output."""

MEANT: dict[str, tuple[str, ...]] = {
    "people": ("person",),
    "human": ("person",),
    "man": ("person",),
    "woman": ("person",),
    "child": ("person",),
    "pedestrian": ("person",),
    "customer": ("person",),
    "visitor": ("person",),
    "worker": ("person",),
    "staff": ("person",),
    "employee": ("person",),
    "intruder": ("person",),
    "guest": ("person",),
    "kid": ("person",),
    "boy": ("person",),
    "girl": ("person",),
    "vehicle": ("car", "truck", "bus"),
    "van": ("car", "truck"),
    "lorry": ("truck",),
    "bike": ("bicycle", "motorcycle"),
    "motorbike": ("motorcycle",),
    "scooter": ("motorcycle",),
    "plane": ("airplane",),
    "bag": ("handbag", "backpack", "suitcase"),
    "luggage": ("suitcase", "backpack"),
    "phone": ("cell phone",),
    "sofa": ("couch",),
    "table": ("dining table",),
    "plant": ("potted plant",),
    "television": ("tv",),
    "monitor": ("tv", "laptop"),
    "fridge": ("refrigerator",),
    "animal": ("dog", "cat", "bird"),
}
"""Common words for these names, used for suggestions only."""

WHOLE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("face", "head", "body", "hand", "helmet", "mask"), ("person",)),
    **dict.fromkeys(("license plate", "licence plate", "number plate", "wheel"), ("car", "truck")),
}
"""What these are parts of: the nearest that the net can find."""
