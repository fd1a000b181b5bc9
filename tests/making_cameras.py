"""Files of cameras in the forms of other programs, of cameras that are known."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import numpy as np

from macrosplat.cameras.colmap import write_colmap
from macrosplat.cameras.records import Cameras, Distortion
from macrosplat.cameras.transforms import write_transforms
from making_captures import make_cameras
from making_photos import CANON, exif, save, texture

COUNT, WIDTH, HEIGHT = 5, 96, 72
BROWN = {"k1": -0.2, "k2": 0.1, "k3": 0.0, "p1": 0.004, "p2": -0.006}
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


def truth(distorted=False) -> Cameras:
    """Cameras off the middle in every respect, so that no sign and no axis can be exchanged unnoticed."""
    made = make_cameras(COUNT, WIDTH, HEIGHT)
    roll = np.eye(4)
    roll[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    intrinsics = np.tile([280.0, 280.0, 50.0, 33.0], (COUNT, 1))
    names = tuple(f"{n}.jpg" for n in range(1, COUNT + 1))
    lens = Distortion(
        "OPENCV", (280.0, 280.0, 50.0, 33.0, *(BROWN[k] for k in ("k1", "k2", "p1", "p2"))), WIDTH, HEIGHT
    )
    return Cameras(names, roll @ made.views, intrinsics, made.sizes, "transforms", (lens,) * COUNT if distorted else ())


def photos(folder, tags=None):
    for n in range(1, COUNT + 1):
        save(folder / f"{n}.jpg", texture(WIDTH, HEIGHT, n), tags or exif(**CANON), quality=95)


def poses(cameras):
    """[V, 4, 4] camera to world, OpenCV axes."""
    return np.linalg.inv(cameras.views)


def as_metashape(root, cameras, brown):
    document = ElementTree.Element("document", version="2.0.0")
    chunk = ElementTree.SubElement(document, "chunk", label="Chunk 1")
    sensor = ElementTree.SubElement(ElementTree.SubElement(chunk, "sensors"), "sensor", id="0", type="frame")
    ElementTree.SubElement(sensor, "resolution", width=str(WIDTH), height=str(HEIGHT))
    for kind, change in (("initial", 1.1), ("adjusted", 1.0)):
        found = ElementTree.SubElement(sensor, "calibration", {"type": "frame", "class": kind})
        ElementTree.SubElement(found, "resolution", width=str(WIDTH), height=str(HEIGHT))
        k = cameras.intrinsics[0]
        values = {"f": k[1] * change, "cx": k[2] - WIDTH / 2, "cy": k[3] - HEIGHT / 2, "b1": k[0] - k[1]}
        if brown:  # the manual's p1, p2 are OpenCV's p2, p1
            values |= {"k1": BROWN["k1"], "k2": BROWN["k2"], "p1": BROWN["p2"], "p2": BROWN["p1"]}
        for tag, value in values.items():
            ElementTree.SubElement(found, tag).text = repr(float(value))
    group = ElementTree.SubElement(ElementTree.SubElement(chunk, "cameras"), "group", label="Group 1")
    for n, pose in enumerate(poses(cameras)):
        camera = ElementTree.SubElement(group, "camera", id=str(n), sensor_id="0", label=cameras.names[n][:-4])
        ElementTree.SubElement(camera, "transform").text = " ".join(map(repr, pose.ravel().tolist()))
    ElementTree.SubElement(group, "camera", id="9", sensor_id="0", label="not_aligned")
    (root / "cameras.xml").write_bytes(ElementTree.tostring(document))


def as_reality(root, cameras, brown):
    """Angles from the rotation's closed form: R = Rz(-heading) Rx(pitch) Ry(roll)."""
    lines = ["#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"]
    k = cameras.intrinsics[0]
    for name, pose in zip(cameras.names, poses(cameras), strict=True):
        r, centre = (pose @ OPENGL)[:3, :3], pose[:3, 3]
        pitch = math.asin(r[2, 1])
        heading, roll = -math.atan2(-r[0, 1], r[1, 1]), math.atan2(-r[2, 0], r[2, 2])
        lens = [k[0] * 36 / WIDTH, (k[2] - WIDTH / 2) * 36 / WIDTH, (k[3] - HEIGHT / 2) * 36 / WIDTH]
        bent = [BROWN["k1"], BROWN["k2"], 0, 0, BROWN["p1"], BROWN["p2"]] if brown else [0] * 6
        row = [*centre.tolist(), *map(math.degrees, (heading, pitch, roll)), *lens, *bent]
        lines.append(",".join([name, *(repr(float(x)) for x in row)]))
    (root / "cameras.csv").write_text("\n".join(lines))


def as_llff(root, cameras, brown):
    rows = []
    for pose in poses(cameras):
        r = pose[:3, :3]  # right, down, forward
        block = np.stack([r[:, 1], r[:, 0], -r[:, 2], pose[:3, 3], [HEIGHT, WIDTH, 280.0]], 1)
        rows.append([*block.ravel(), 4.0, 8.0])
    np.save(root / "poses_bounds.npy", np.array(rows))


def as_transforms(root, cameras, brown, name="transforms.json"):
    write_transforms(root / name, cameras, folder="images")
    if brown:
        data = json.loads((root / name).read_text())
        data |= {"camera_model": "OPENCV", "fl_x": 280.0, "fl_y": 280.0, **BROWN}
        (root / name).write_text(json.dumps(data))


def as_blender(root, cameras, brown):
    write_transforms(root / "transforms_train.json", cameras, folder="images")
    data = json.loads((root / "transforms_train.json").read_text())
    for key in ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_model", "exif_orientation"):
        data.pop(key)
    data["camera_angle_x"] = 2 * math.atan(WIDTH / 2 / 280.0)
    for frame in data["frames"]:
        frame["file_path"] = "./" + frame["file_path"][:-4]
        frame["rotation"] = 0.01
    (root / "transforms_train.json").write_text(json.dumps(data))


FORMS = {
    "transforms": as_transforms,
    "colmap": lambda root, cameras, brown: write_colmap(root / "sparse" / "0", cameras),
    "metashape": as_metashape,
    "reality-capture": as_reality,
    "llff": as_llff,
    "blender": as_blender,
}
