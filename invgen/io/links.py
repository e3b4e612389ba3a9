"""Where links of HDF5 files lead: step by step, within a budget of work, and within the scan's own folder.

h5py and libhdf5 open whatever an external link, a virtual dataset or external storage names, and read fill
values where a source is missing. Here each of them is looked at before it is followed.
"""

from __future__ import annotations

import math
import operator
import os
import re
import resource
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import h5py

from invgen.core.errors import FileError, InvgenError
from invgen.core.files import check_regular
from invgen.core.text import brief, printable, quoted

__all__ = ["Found", "Links", "Missing", "reading"]

#: Steps for one file that is opened: one for each object that is visited, more for what takes longer.
_MAX_STEPS, _STEPS_OF_A_LINK, _STEPS_OF_A_FILE = 100_000, 5, 50
#: Links that lead through one another.
_MAX_CHAIN = 64
#: Files that libhdf5 may hold open beside the sources of a virtual dataset.
_SPARE_FILES = 64

Raw: TypeAlias = "h5py.Group | h5py.Dataset"
_Filters = dict[int, str]  # names of filters by their numbers


class Missing(FileError):
    """What a link or a virtual dataset leads to is not there."""


class _Exhausted(FileError):
    """The budget of steps is spent."""


@contextmanager
def reading(path: str | Path, what: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Translate whatever h5py and NumPy raise at the damage of a file into an error of one line.

    Errors of the kinds `passing` are left as they are.

    Raises
    ------
    FileError
    MemoryError
        As it is: a shortage of memory is no damage.
    """
    try:
        yield
    except Exception as error:  # h5py raises whatever it meets: OSError, KeyError, UnicodeDecodeError, ...
        if isinstance(error, (InvgenError, MemoryError, *passing)):
            raise
        if "memory allocation failed" in str(error):  # of a size that damage makes absurd, or for want of it
            raise FileError(f"{path}: {what} asks for more memory than can be had.") from error
        raise FileError(f"{path}: {what} cannot be read, the file is damaged: {brief(error)}") from error


class Found:
    """An object that a path leads to: h5py's, its path, and the filters that its values need."""

    def __init__(self, raw: Raw, name: str, filters: _Filters):
        self.raw, self.name, self.filters = raw, name, filters


class Links:
    """An HDF5 file, the files that its links lead to, and the steps that are left for following them.

    Parameters
    ----------
    path : Path
        The file.
    follow : bool
        Whether links may lead out of the folder of the file; sub-folders belong to it.

    Attributes
    ----------
    visited : dict of Path
        Real paths of all files that links and virtual datasets have led to, the file itself first.

    Raises
    ------
    FileError
        When the file is missing, empty, truncated or not HDF5.
    """

    def __init__(self, path: Path, follow: bool):
        check_regular(path)
        self.path, self._follow = path, follow
        real = Path(os.path.realpath(path))
        self._folder = real.parent
        self._left = _MAX_STEPS
        self.root = _open(path)
        self._open: dict[Path, h5py.File] = {real: self.root}
        self.visited: dict[Path, None] = {real: None}
        self._known: dict[tuple[int, int, str], Found] = {}  # what has been found, by group and path
        self._filters: dict[tuple[int, int], _Filters] = {}  # of datasets whose storage has been checked

    def close(self) -> None:
        """Close all files."""
        for file in self._open.values():
            file.close()

    def find(self, group: h5py.Group, of: str, path: str) -> Found | None:
        """What a path leads to from a group whose own path is `of`; None where nothing is there.

        Raises
        ------
        FileError
            Where a link leads to itself or out of the folder, the target of a link is missing, values are
            kept in external storage, or the budget of steps is spent.
        """
        key = (*_identity(group, self.path), path)
        if key not in self._known:
            raw = self._resolve(group, path, ())
            if raw is None:
                return None
            name = path if path.startswith("/") else f"{of.rstrip('/')}/{path}"
            self._known[key] = Found(raw, name, self._checked(raw, ()))
        return self._known[key]

    def walk(self, group: h5py.Group, of: str, seen: set[tuple[int, int]]) -> Iterator[Found]:
        """All objects below a group that are not yet in `seen`, each once, the nearest first.

        What is only behind soft and external links comes last; those that lead nowhere are passed over.
        """
        hard, linked = deque([(group, of)]), deque[tuple[h5py.Group, str, bytes]]()
        while hard or linked:
            if hard:
                here, name = hard.popleft()
                number, _ = _identity(here, self.path)
                for part in self._names(here):
                    if self._kind(here, part) == h5py.h5l.TYPE_HARD:
                        with reading(self.path, f"the link {printable(part)}"):
                            place = number, here.id.links.get_info(part).u
                        if place in seen:  # without opening it, of which there may be thousands
                            continue
                        found = self._hard(here, part)
                        yield from self._new(found, f"{name.rstrip('/')}/{_decoded(part)}", seen, hard)
                    else:
                        linked.append((here, name, part))
                continue
            here, name, part = linked.popleft()
            try:
                found = self._child(here, part, ())
            except _Exhausted:
                raise
            except FileError:  # it is said where the link itself is asked for
                continue
            yield from self._new(found, f"{name.rstrip('/')}/{_decoded(part)}", seen, hard)

    def _new(
        self, raw: Raw | None, name: str, seen: set[tuple[int, int]], queue: deque[tuple[h5py.Group, str]]
    ) -> Iterator[Found]:
        """The object, where it has not been seen; what is in a group is queued."""
        if raw is None:
            return
        key = _identity(raw, self.path)
        if key in seen:
            return
        seen.add(key)
        if isinstance(raw, h5py.Group):
            queue.append((raw, name))
            yield Found(raw, name, {})
            return
        try:
            filters = self._checked(raw, ())
        except _Exhausted:
            raise
        except FileError:
            return
        yield Found(raw, name, filters)

    def has(self, group: h5py.Group, name: str) -> bool:
        """Whether a group has a link of that name, whatever it leads to."""
        return self._kind(group, _encoded(name)) is not None

    def _step(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise _Exhausted(
                f"{self.path} is not searched any further, after {_MAX_STEPS:,} steps: it holds "
                "too many links and objects, or links that lead through one another. Name the datasets "
                "(command line: --dataset, --angles), or copy what is needed into a file of its own."
            )

    def _names(self, group: h5py.Group) -> list[bytes]:
        with reading(self.path, _shown(group)):
            self._step(len(group))
            return [_encoded(name) for name in group]

    def _kind(self, group: h5py.Group, name: bytes) -> int | None:
        """Kind of a link (``h5py.h5l.TYPE_HARD``, ...), None where there is none.

        Unlike ``name in group``, it does not open what an external link leads to.
        """
        with reading(self.path, f"the link {printable(name)}"):
            if not group.id.links.exists(name):
                return None
            return int(group.id.links.get_info(name).type)

    def _resolve(self, group: h5py.Group, path: str, chain: tuple[object, ...]) -> Raw | None:
        here: Raw | None = group
        if path.startswith("/"):
            with reading(self.path, _shown(group)):
                here = group.file["/"]
        for part in path.split("/"):
            if part not in ("", "."):
                here = self._child(here, _encoded(part), chain) if isinstance(here, h5py.Group) else None
        return here

    def _child(self, group: h5py.Group, name: bytes, chain: tuple[object, ...]) -> Raw | None:
        """What a link leads to; `chain` are the links that lead to it."""
        self._step()
        kind = self._kind(group, name)
        if kind is None:
            return None
        if kind == h5py.h5l.TYPE_HARD:
            return self._hard(group, name)
        self._step(_STEPS_OF_A_LINK)
        shown = f"the link {quoted(_decoded(name))}"
        chain = self._longer(chain, (*_identity(group, self.path), name), shown)
        with reading(self.path, shown):
            target = group.id.links.get_val(name)
        if kind == h5py.h5l.TYPE_SOFT:
            found, where = self._resolve(group, _decoded(target), chain), quoted(_decoded(target))
        elif kind == h5py.h5l.TYPE_EXTERNAL:
            file, path = (_decoded(part) for part in target)
            place = self._place(group, file, shown)
            found, where = self._resolve(self._opened(place), path, chain), f"{quoted(path)} of {place}"
        else:
            raise FileError(f"{self.path}: {shown} is of a kind of its own, {kind}, which is not known here.")
        if found is None:
            raise Missing(f"{self.path}: {shown} leads to {where}, which is missing.")
        return found

    def _longer(self, chain: tuple[object, ...], key: object, shown: str) -> tuple[object, ...]:
        if key in chain:
            raise FileError(f"{self.path}: {shown} leads to itself.")
        if len(chain) == _MAX_CHAIN:
            raise FileError(
                f"{self.path}: {shown} is not followed: {_MAX_CHAIN} links lead through one another."
            )
        return (*chain, key)

    def _hard(self, group: h5py.Group, name: bytes) -> Raw | None:
        with reading(self.path, printable(name)):
            found = group[name]
        return found if isinstance(found, h5py.Group | h5py.Dataset) else None  # else a named type

    def _place(self, holder: Raw, name: str, shown: str) -> Path:
        """Real path of the file that a link names, looked for where libhdf5 does.

        Raises
        ------
        Missing
            When there is none.
        FileError
            When it is out of the folder, or no regular file.
        """
        with reading(self.path, shown):
            own = holder.file.filename
            folders = (Path(own).parent, Path(os.path.realpath(own)).parent)
            given = Path(name)
            beside = [folder / (given.name if given.is_absolute() else given) for folder in folders]
            candidates = [given, *beside] if given.is_absolute() else beside
            place = next((path for path in candidates if path.exists()), None)
        if place is None or not name:
            raise Missing(
                f"{self.path}: {shown} leads to the file {quoted(name)}, which is missing; put it "
                f"beside {own}."
            )
        real = Path(os.path.realpath(place))
        if not (self._follow or real.is_relative_to(self._folder)):
            raise FileError(
                f"{self.path}: {shown} leads to another file out of the scan's folder, {quoted(real, 300)}, "
                "and is not followed. follow_links=True follows it (command line: --follow-links)."
            )
        try:
            check_regular(real)
        except FileError as error:
            raise FileError(f"{self.path}: {shown} leads to another file: {error}") from error
        self.visited[real] = None
        return real

    def _opened(self, place: Path) -> h5py.File:
        """A file that links lead to; it stays open."""
        if place not in self._open:
            self._step(_STEPS_OF_A_FILE)
            self._open[place] = _open(place)
        return self._open[place]

    @contextmanager
    def _visiting(self, place: Path) -> Iterator[h5py.File]:
        """A file whose contents are looked at only; virtual datasets can have more than can be held open."""
        if place in self._open:
            yield self._open[place]
            return
        self._step(_STEPS_OF_A_FILE)
        with _open(place) as file:
            yield file

    def _checked(self, raw: Raw, chain: tuple[object, ...]) -> _Filters:
        """Filters of a dataset, after its storage has been found to be where it may be."""
        if not isinstance(raw, h5py.Dataset):
            return {}
        key = _identity(raw, self.path)
        if key not in self._filters:
            shown = _shown(raw)
            with reading(self.path, shown):
                layout = raw.id.get_create_plist()
                filters = {
                    int(code): printable(label)
                    for code, _, _, label in map(layout.get_filter, range(layout.get_nfilters()))
                }
                virtual = layout.get_layout() == h5py.h5d.VIRTUAL
                external = None if virtual or not layout.get_external_count() else layout.get_external(0)[0]
            if external is not None:
                raise FileError(
                    f"{self.path}: {shown} keeps its values in another file, {quoted(_decoded(external))}, "
                    "which is not read. Write one file that contains the data."
                )
            if virtual:
                chain = self._longer(chain, ("virtual", key), f"the virtual dataset {shown}")
                filters |= self._sources(raw, layout, chain)
            self._filters[key] = filters
        return self._filters[key]

    def _sources(self, raw: h5py.Dataset, layout: h5py.h5p.PropDCID, chain: tuple[object, ...]) -> _Filters:
        """Filters of the sources of a virtual dataset, each of which has been found to be there."""
        shown, filters, files = _shown(raw), dict[int, str](), set[Path]()
        extents: dict[tuple[str, str], tuple[int, ...]] = {}
        with reading(self.path, shown):
            count = layout.get_virtual_count()
        for i in range(count):
            self._step()
            with reading(self.path, shown):
                file, path = layout.get_virtual_filename(i), layout.get_virtual_dsetname(i)
                taken, space = layout.get_virtual_vspace(i), layout.get_virtual_srcspace(i)
                unlimited, last, count_taken = _is_unlimited(taken), None, None
                if not unlimited and space.get_select_type() == h5py.h5s.SEL_ALL:
                    count_taken = int(taken.get_select_npoints())
                elif not _is_unlimited(space) and space.get_select_type() != h5py.h5s.SEL_ALL:
                    last = space.get_select_bounds()[1]
            series = unlimited and "%b" in (file + path).replace("%%", "")
            block = 0
            while True:  # of a series, up to the first that is not there, as libhdf5 does, if it is the last
                source = _block(file, block), _block(path, block)
                try:
                    if source not in extents:
                        extents[source] = self._source(raw, source, chain, filters, files)
                except Missing:
                    following = _block(file, block + 1), _block(path, block + 1)
                    if block == 0 or self._is_there(raw, following, chain, filters, files):
                        raise
                    break
                extent = extents[source]
                short = count_taken is not None and math.prod(extent) < count_taken
                if last is not None:
                    short = len(last) != len(extent) or any(map(operator.ge, last, extent))
                if short:
                    raise Missing(
                        f"{self.path}: the virtual dataset {shown} takes more of {quoted(source[1])} in "
                        f"{quoted(source[0])} than is there, its shape being {extent}: a part is missing."
                    )
                if not series:
                    break
                block += 1
                self._step()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if len(files) > limit - _SPARE_FILES:
            raise FileError(
                f"{self.path}: the virtual dataset {shown} is made of {len(files)} files, and {limit} may be "
                f"open at a time. Allow more: ulimit -n {len(files) + 2 * _SPARE_FILES}."
            )
        return filters

    def _is_there(self, raw: h5py.Dataset, source: tuple[str, str], *known: Any) -> bool:
        try:
            self._source(raw, source, *known)
        except Missing:
            return False
        return True

    def _source(
        self,
        raw: h5py.Dataset,
        source: tuple[str, str],
        chain: tuple[object, ...],
        filters: _Filters,
        files: set[Path],
    ) -> tuple[int, ...]:
        """Shape of a source of a virtual dataset; its filters and files are added to those that are known."""
        name, path = source
        shown = f"the virtual dataset {_shown(raw)}"
        if name == ".":
            with reading(self.path, shown):
                return self._extent(raw.file, name, path, shown, chain, filters)
        place = self._place(raw, name, shown)
        files.add(place)
        with self._visiting(place) as file:
            return self._extent(file, name, path, shown, chain, filters)

    def _extent(
        self,
        file: h5py.File,
        name: str,
        path: str,
        shown: str,
        chain: tuple[object, ...],
        filters: _Filters,
    ) -> tuple[int, ...]:
        found = self._resolve(file, f"/{path.lstrip('/')}", chain)
        if not isinstance(found, h5py.Dataset):
            raise Missing(
                f"{self.path}: {shown} leads to {quoted(path)} of {quoted(name)}, which is missing."
            )
        filters |= self._checked(found, chain)
        with reading(self.path, shown):
            return tuple(found.shape or ())


def _open(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except MemoryError:
        raise
    except Exception as error:  # OSError as a rule
        if "truncated" in str(error):
            raise FileError(
                f"{path} is truncated: the file is shorter than its own header says. "
                "The copy or the acquisition was cut short; copy it again."
            ) from error
        if not h5py.is_hdf5(path):
            raise FileError(f"{path} is no HDF5 file, or its beginning is damaged.") from error
        raise FileError(f"{path} cannot be opened as HDF5: {brief(error)}") from error


def _identity(raw: Raw, path: Path) -> tuple[int, int]:
    """What an object is, whatever leads to it: its file and its place there."""
    with reading(path, "an object"):
        info = h5py.h5o.get_info(raw.id)
        return int(info.fileno), int(info.addr)


def _shown(raw: Raw) -> str:
    """Path of an object as h5py has it, for messages."""
    try:
        return printable(raw.name or "an object without a name")
    except Exception:  # a damaged heap of names
        return "an object whose name is damaged"


def _is_unlimited(space: h5py.h5s.SpaceID) -> bool:
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return False
    return any(
        h5py.h5s.UNLIMITED in (count, block)
        for _, _, count, block in zip(*space.get_regular_hyperslab(), strict=True)
    )


def _block(pattern: str, block: int) -> str:
    """Name of a source: ``%b`` is the number of its block and ``%%`` a percent sign (H5Pset_virtual)."""
    return re.sub("%[b%]", lambda found: str(block) if found[0] == "%b" else "%", pattern)


def _encoded(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def _decoded(name: str | bytes) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
