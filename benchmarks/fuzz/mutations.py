"""Damage of every kind: of bytes, structure, attributes and links, and bombs."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["KINDS", "mutate"]

Rng = np.random.Generator

_EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
)
_TEXTS = ("", "x" * 100_000, "\x1b[31m\n\r\0", "\ud7ff\u202e", "nan", "1e999", "-1", "deg", "mm", "0" * 5000)


def mutate(path: Path, kind: str, rng: Rng) -> None:
    """Damage a file in place; what cannot be damaged so has its bytes changed."""
    KINDS[kind](path, rng)


# bytes


def _bytes(path: Path, rng: Rng) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(int(rng.choice([1, 1, 1, 2, 4, 16]))):
        if not content:
            break
        rng.choice(np.array(_EDITS, dtype=object))(content, rng)
    path.write_bytes(content)


def _at(content: bytearray, rng: Rng) -> int:
    """A place, more often near the beginning, where headers are."""
    return int(len(content) * rng.random() ** rng.choice([1, 1, 3]))


def _flip(content: bytearray, rng: Rng) -> None:
    content[_at(content, rng)] ^= 1 << int(rng.integers(8))


def _replace(content: bytearray, rng: Rng) -> None:
    start, n = _at(content, rng), int(rng.integers(1, 17))
    filling = [rng.bytes(n), bytes(n), b"\xff" * n, bytes(reversed(content[start : start + n]))]
    content[start : start + n] = filling[int(rng.integers(4))]


def _extreme(content: bytearray, rng: Rng) -> None:
    start, n = _at(content, rng), int(rng.choice([1, 2, 4, 8]))
    value = int(_EXTREMES[int(rng.integers(len(_EXTREMES)))]) % 2 ** (8 * n)
    content[start : start + n] = value.to_bytes(n, rng.choice(["little", "big"]))


def _cut(content: bytearray, rng: Rng) -> None:
    del content[_at(content, rng) :]


def _remove(content: bytearray, rng: Rng) -> None:
    start = _at(content, rng)
    del content[start : start + int(rng.integers(1, 1 + len(content) // 4 + 1))]


def _insert(content: bytearray, rng: Rng) -> None:
    start = _at(content, rng)
    content[start:start] = rng.bytes(int(rng.integers(1, 64)))


def _repeat(content: bytearray, rng: Rng) -> None:
    start = _at(content, rng)
    content[start:start] = content[start : start + int(rng.integers(1, 256))]


def _swap(content: bytearray, rng: Rng) -> None:
    a, b, n = _at(content, rng), _at(content, rng), int(rng.integers(1, 64))
    a, b = sorted((a, b))
    n = min(n, b - a, len(content) - b)
    content[a : a + n], content[b : b + n] = content[b : b + n], content[a : a + n]


_EDITS = (_flip, _flip, _replace, _extreme, _extreme, _cut, _remove, _insert, _repeat, _swap)

# structure


def _structure(path: Path, rng: Rng) -> None:
    if h5py.is_hdf5(path):
        with h5py.File(path, "r+") as file:
            for _ in range(int(rng.integers(1, 4))):
                _change_object(file, rng)
    elif path.suffix in (".json", ".safetensors", ".toml"):
        _change_tree(path, rng)
    elif path.suffix == ".sqlite":
        _change_rows(path, rng)
    else:
        _bytes(path, rng)


def _names(file: h5py.File, datasets: bool = False) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if not datasets or hasattr(item, "shape") else None)
    return names


def _pick(values: Any, rng: Rng) -> Any:
    return values[int(rng.integers(len(values)))]


def _change_object(file: h5py.File, rng: Rng) -> None:
    names = _names(file, datasets=rng.random() < 0.8)
    if not names:
        return
    name = _pick(names, rng)
    attributes = dict(file[name].attrs) if rng.random() < 0.7 else {}
    change = int(rng.integers(8))
    if change == 0:
        del file[name]
        return
    if change == 1:
        other = _pick(names, rng)
        if not (name.startswith(other) or other.startswith(name)):
            file.move(name, "aside")
            file.move(other, name)
            file.move("aside", other)
        return
    values = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(3)
    values = np.asarray(values)
    del file[name]
    if change == 2:
        file.create_group(name)
        return
    if change == 3:
        kinds = ("S3", "?", "i1", "u8", "f2", "f8", "c16", "V5", [("a", "i4"), ("b", "f4")])
        values = np.zeros(values.shape, _pick(kinds, rng))
    elif change == 4:
        texts = np.empty(values.shape, object)
        texts[...] = _pick(_TEXTS[:1] + _TEXTS[4:], rng)
        file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
        return
    elif change == 5:
        shapes: list[Any] = [
            (),
            (0,),
            values.shape[::-1],
            (1, *values.shape),
            values.shape[1:],
            (2, 3, 4, 5, 6),
        ]
        values = np.resize(values, _pick(shapes, rng)) if values.size else values
    elif change == 6:
        file.create_dataset(name, data=h5py.Empty("f4"))
        return
    elif values.dtype.kind in "uifc" and values.size:
        kind = values.dtype.kind
        numbers = [np.nan, np.inf, -1e30, 1e300, 0] if kind in "fc" else [0, np.iinfo(values.dtype).max]
        values = values.copy()
        with np.errstate(all="ignore"):
            values.reshape(-1)[rng.random(values.size) < _pick([1.0, 0.1, 0.01], rng)] = _pick(numbers, rng)
    file[name] = values
    for key, value in attributes.items():
        file[name].attrs[key] = value


def _value(rng: Rng, depth: int = 0) -> Any:
    """A value of JSON that nobody expects."""
    choice = int(rng.integers(9))
    if choice == 0:
        return None
    if choice == 1:
        return _pick([0, -1, 2**31, 10**30, 10**400, 3.5, float("inf"), float("nan")], rng)
    if choice == 2:
        return _pick(_TEXTS, rng)
    if choice == 3:
        return bool(rng.integers(2))
    if choice == 4 and depth < 3:
        return [_value(rng, depth + 1) for _ in range(int(rng.integers(4)))]
    if choice == 5 and depth < 3:
        return {_pick(_TEXTS[3:], rng): _value(rng, depth + 1) for _ in range(int(rng.integers(4)))}
    if choice == 6:
        deep: Any = 1
        for _ in range(400):
            deep = [deep]
        return deep
    return _pick([1000, [1000] * 5, 64, [-3], [0]], rng)


def _change_tree(path: Path, rng: Rng) -> None:
    content = path.read_bytes()
    if path.suffix == ".toml":
        import tomllib

        tree: Any = tomllib.loads(content.decode())
        _change_node(tree, rng)
        lines = [f"{key} = {_toml(value)}" for key, value in tree.items()]
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
        return
    if path.suffix == ".json":
        tree = json.loads(content)
        _change_node(tree, rng)
        path.write_text(json.dumps(tree))
        return
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    if rng.random() < 0.7 and "invgen" in head.get("__metadata__", {}):
        card = json.loads(head["__metadata__"]["invgen"])
        _change_node(card, rng)
        text = json.dumps(card)
        if rng.random() < 0.1:
            text = _pick(["[" * 100_000, "{", "nul", "9" * 5000, '{"a":' * 50_000], rng)
        head["__metadata__"]["invgen"] = text
    else:
        _change_node(head, rng)
    new = json.dumps(head).encode()
    path.write_bytes(len(new).to_bytes(8, "little") + new + content[8 + length :])


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


def _change_node(tree: Any, rng: Rng) -> None:
    """Replace, remove or add an entry somewhere in a tree."""
    here = tree
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = _pick(keys, rng)
        if isinstance(here[key], dict | list) and here[key] and rng.random() < 0.7:
            here = here[key]
            continue
        if rng.random() < 0.2:
            del here[key]
        elif rng.random() < 0.2 and isinstance(here, dict):
            here[_pick(_TEXTS[3:], rng)] = _value(rng)
        else:
            here[key] = _value(rng)
        return


def _change_rows(path: Path, rng: Rng) -> None:
    import sqlite3

    with sqlite3.connect(path) as database:
        table, columns = _pick(
            [
                ("about", ("name", "value")),
                ("suites", ("name", "value")),
                ("runs", ("started", "value")),
                ("records", ("cell", "measures", "costs", "stats", "error", "finished", "version", "suite")),
            ],
            rng,
        )
        if rng.random() < 0.1:
            database.execute(f"DROP TABLE {table}")
        else:
            text = _pick([json.dumps(_value(rng)), "{", "[" * 100_000, b"\xff\xfe", 3, "x"], rng)
            database.execute(f"UPDATE {table} SET {_pick(columns, rng)} = ?", (text,))
    database.close()


# attributes


def _attributes(path: Path, rng: Rng) -> None:
    if not h5py.is_hdf5(path):
        return _structure(path, rng)
    with h5py.File(path, "r+") as file:
        holders = [file, *(file[name] for name in _names(file))]
        named = [(item, key) for item in holders for key in item.attrs] or [(file, "units")]
        for _ in range(int(rng.integers(1, 4))):
            item, key = _pick(named, rng) if rng.random() < 0.8 else (_pick(holders, rng), "units")
            _set_attribute(item, key, rng)


def _set_attribute(item: Any, key: str, rng: Rng) -> None:
    choice = int(rng.integers(10))
    if key in item.attrs:
        del item.attrs[key]
    if choice == 0:
        return
    if choice == 1:  # text that is no UTF-8
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(4), kind.set_cset(h5py.h5t.CSET_UTF8)
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        made = h5py.h5a.create(item.id, key.encode(), kind, space)
        made.write(np.array(b"\xff\xfe\xed\xa0", "S4"))
        return
    if choice == 2:
        item.attrs[key] = h5py.Empty("f4")
    elif choice == 3:
        item.attrs.create(key, np.array([item.ref, item.ref], h5py.ref_dtype), dtype=h5py.ref_dtype)
    elif choice == 4:
        ragged = np.empty(2, object)
        ragged[:] = [np.arange(3), np.arange(5)]
        item.attrs.create(key, ragged, dtype=h5py.vlen_dtype("i4"))
    elif choice == 5:
        item.attrs.create(key, 1, dtype=h5py.enum_dtype({"a": 1, "b": 2}))
    elif choice == 6:
        item.attrs[key] = np.void(b"opaque\0")
    elif choice == 7:
        item.attrs[key] = _pick([np.nan, -1.0, 0, 2**63 - 1, [1.0, 2.0], np.zeros((2, 2)), True, 1j], rng)
    elif choice == 8:
        texts = (
            "",
            "x" * 60_000,
            "\x1b[31m\n",
            "[" * 60_000,
            "{}",
            "null",
            "[]",
            '{"rows": [0, 1]}',
            "1e999",
        )
        item.attrs[key] = _pick(texts, rng)
    else:
        item.attrs[key] = np.array(["a", "b"], object)


# links


def _links(path: Path, rng: Rng) -> None:
    if not h5py.is_hdf5(path):
        return _structure(path, rng)
    with h5py.File(path, "r+") as file:
        names = _names(file)
        name = _pick(names, rng) if names else "a"
        choice = int(rng.integers(11))
        if choice in (0, 1, 2, 3, 4) and name in file:
            del file[name]
        if choice == 0:
            file[name] = h5py.SoftLink(
                _pick([f"/{name}", "/", "..", "/nowhere", name, "//", "\udcff", "."], rng)
            )
        elif choice == 1:
            target = _pick(["/etc/passwd", "no.h5", path.name, "/dev/zero", ".", "../" * 50, "\0", "*"], rng)
            file[name] = h5py.ExternalLink(target, f"/{name}")
        elif choice == 2:
            source = h5py.VirtualSource(_pick([".", "no.h5", path.name, "/dev/zero"], rng), name, (4, 4))
            layout = h5py.VirtualLayout((4, 4), "f4")
            layout[:] = source
            file.create_virtual_dataset(name, layout)
        elif choice == 3:
            place = _pick(["/etc/passwd", "/dev/zero", "no.raw", path.name], rng)
            file.create_dataset(name, (4, 4), "u1", external=[(place, 0, 16)])
        elif choice == 4:
            file[name] = h5py.SoftLink("/ladder-0/a")
            _ladder(file, int(rng.integers(2, 60)), int(rng.integers(2, 15)))
        elif choice == 5:
            _ladder(file, 100, 10)
        elif choice == 6:
            here = file
            for _ in range(1000):
                here = here.create_group("entry")
                here.attrs["NX_class"] = "NXentry"
        elif choice == 7:
            target = file[name]
            for i in range(20_000):
                file[f"hard-{i}"] = target
        elif choice == 8 and isinstance(file[name], h5py.Group):
            file[f"{name}/again"] = file["/"]
        elif choice == 9:
            file[b"\xff\xfe\n\x1b[31m"] = h5py.SoftLink(f"/{name}")
            file["x" * 50_000] = file[name]
        else:
            for i in range(3000):
                file[f"soft-{i}"] = h5py.SoftLink(f"/soft-{(i + 1) % 3000}")


def _ladder(file: h5py.File, width: int, depth: int) -> None:
    """Groups whose every entry leads to all of the next group."""
    for level in range(depth):
        group = file.require_group(f"ladder-{level}")
        group.attrs["NX_class"] = "NXentry"
        for i in range(width):
            group[f"{'abc'[i % 3]}{i or ''}"] = h5py.SoftLink(f"/ladder-{(level + 1) % depth}")


# bombs


def _bombs(path: Path, rng: Rng) -> None:
    name = path.name
    if h5py.is_hdf5(path):
        return _hdf5_bomb(path, rng)
    if name.endswith("idx.gz") or name.endswith("-idx"):
        dims = _pick([(60_000, 2000, 2000), (2**31, 2, 2), (200, 1000, 1000), (0, 0, 0)], rng)
        content = struct.pack(">HBB3I", 0, 8, 3, *dims)
        if name.endswith(".gz"):
            zeros = bytes(10**6)
            with gzip.open(path, "wb", compresslevel=1) as file:
                file.write(content)
                for _ in range(200):
                    file.write(zeros)
        else:
            path.write_bytes(content)
        return None
    if name.endswith((".nii", ".nii.gz")):
        opened = gzip.open if name.endswith(".gz") else open
        with opened(path, "rb") as file:
            content = bytearray(file.read())
        struct.pack_into("<3h", content, 42, *(int(_pick([1, 2000, 32767, -1], rng)) for _ in range(3)))
        with opened(path, "wb") as file:
            file.write(bytes(content) + bytes(10**7))
        return None
    if path.suffix == ".json":
        path.write_text(_pick(["[" * 10**6, '{"a":' * 10**6, "9" * 10**6, '"' + "x" * 10**7 + '"'], rng))
        return None
    if path.suffix == ".toml":
        path.write_text(
            "a = " + _pick(["[" * 10**5, "{a=" * 10**5, "9" * 10**5, '"' + "x" * 10**7 + '"'], rng)
        )
        return None
    if path.suffix == ".txt":
        path.write_bytes(_pick([b"1 " * 10**7, b"9" * 10**6, b"1e999 " * 12, b"\xff" * 10**6], rng))
        return None
    if path.suffix in (".npz", ".npy") or path.suffix in (".png", ".bmp", ".tif", ".mat"):
        return _claim_more(path, rng)
    return _structure(path, rng)


def _hdf5_bomb(path: Path, rng: Rng) -> None:
    with h5py.File(path, "r+") as file:
        names = _names(file, datasets=True)
        if not names:
            return
        name = _pick(names, rng)
        old, attributes = file[name], dict(file[name].attrs)
        kind, rank = old.dtype, max(old.ndim, 1)
        del file[name]
        side = int(_pick([2**10, 2**15, 2**20, 2**31], rng))
        shape = [side if rng.random() < 0.7 else int(_pick([1, 3], rng)) for _ in range(rank)]
        while np.prod([float(n) for n in shape]) * kind.itemsize > 2**62:
            shape[int(rng.integers(rank))] = 1
        chunks = tuple(min(n, 64) for n in shape)
        made = file.create_dataset(
            name, tuple(shape), kind, chunks=chunks, compression=_pick([None, "gzip"], rng)
        )
        for key, value in attributes.items():
            made.attrs[key] = value


def _claim_more(path: Path, rng: Rng) -> None:
    """Write a header that claims much more than there is."""
    content = bytearray(path.read_bytes())
    if path.suffix == ".npy":
        shape = _pick([(10**6, 10**6), (12, 2, 10**9), (2**62, 4), (-1, 5), (10**30,)], rng)
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(118 - 1) + "\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + b"1234")
    elif path.suffix == ".npz":
        np.savez_compressed(path, images=np.zeros((_pick([20, 120], rng), 1000, 1000), np.uint8))
    elif path.suffix == ".png":
        import zlib

        size = struct.pack(">II", *(int(_pick([1, 9000, 30_000, 2**31 - 1], rng)) for _ in range(2)))
        content[16:24] = size
        content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
        path.write_bytes(content)
    elif path.suffix == ".tif":
        import tifffile

        tifffile.imwrite(path, np.zeros((_pick([1, 12], rng), 4000, 4000), np.uint8), compression="zlib")
    else:
        struct.pack_into(
            "<I", content, int(_pick([18, 22, 132, 136, 140], rng)) % (len(content) - 4), 2**31 - 1
        )
        path.write_bytes(content)


#: Kinds of damage, by name.
KINDS: dict[str, Callable[[Path, Rng], None]] = {
    "bytes": _bytes,
    "structure": _structure,
    "attributes": _attributes,
    "links": _links,
    "bombs": _bombs,
}
