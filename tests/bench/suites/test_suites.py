"""The contract of every registered suite; a suite joins by its line in `SUITES`."""

import contextlib
import math
import pickle
import subprocess
import sys

import pytest
import torch

from invgen.bench.image_suite import ImageSuite
from invgen.bench.measures import MEASURES
from invgen.bench.suites import SUITES, load_suites
from invgen.bench.suites.data import SOURCES, folder
from invgen.core.errors import CapabilityError, FileError, InvgenError

#: Suites that make the problems of their quick form.
NEED_NOTHING = (
    *("certify", "ranks", "operators", "ct-sparse", "ct-limited", "ct-low-dose"),
    *("mri-r4", "mri-r8", "mri-lines", "langevin-mri"),
)

FIRST_OF_A_KIND = list({type(make(folder())): name for name, make in reversed(SUITES.items())}.values())


@pytest.fixture(params=SUITES)
def name(request):
    return request.param


@pytest.fixture
def suite(name):
    """The full form, where its data are there."""
    found = SUITES[name](folder())
    try:
        assert found.tasks
    except FileError as error:
        pytest.skip(str(error))
    return found


def places(suite):
    """Each task with its first test image."""
    return [(task, task.test[0]) for task in suite.tasks]


def test_it_is_called_what_it_is_registered_as(name, suite):
    assert suite.name == suite.quick().name == name


def test_names_are_unique_and_no_image_is_in_both_splits(suite):
    for form in (suite, suite.quick()):
        names = [task.name for task in form.tasks]
        assert len(set(names)) == len(names)
        for task in form.tasks:
            assert task.test
            assert len(set(task.test + task.tuning)) == len(task.test) + len(task.tuning)
        titles = [(entry.name, entry.prior) for entry in form.entries]
        assert len(set(titles)) == len(titles)
    knobs = [entry for entry in suite.entries if entry.knob]
    assert not knobs or all(task.tuning for task in suite.tasks), "knobs are tuned on something"


def test_what_it_is_about_says_how_images_are_split(suite):
    assert "tuning" in suite.about.lower() or "nothing is tuned" in suite.about.lower()
    assert suite.primary in MEASURES


def test_a_copy_of_it_has_the_same_problems_and_another_seed_has_others(suite):
    quick = suite.quick()
    copy = pickle.loads(pickle.dumps(quick))
    task, image = places(quick)[0]
    assert copy.tasks == quick.tasks
    assert copy.content(task, image, 0) == quick.content(task, image, 0) != quick.content(task, image, 1)


def test_images_of_a_task_have_noise_of_their_own(suite):
    if not isinstance(suite, ImageSuite):
        pytest.skip("no images")
    quick = suite.quick()
    task = next((task for task in quick.tasks if task.tuning), None)
    if task is None:
        pytest.skip("nothing is tuned")
    pair = [quick.instance(task, image, 0) for image in (task.test[0], task.tuning[0])]
    left = [given.problem.measurement - given.problem.operator(given.truth) for given in pair]
    if left[0].shape == left[1].shape:
        assert not torch.allclose(*left)


@pytest.mark.slow
def test_another_process_has_the_same_problems():
    """Of all suites whose data are there."""
    found = {}
    for name in SUITES:
        with contextlib.suppress(FileError):
            found[name] = problems(name)
    code = (
        "import importlib.util, sys, torch; torch.set_num_threads(1); "  # the number of this process
        "spec = importlib.util.spec_from_file_location('suites', sys.argv[1]); "
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module); "
        "[print(*module.problems(name)) for name in sys.argv[2:]]"
    )
    command = [sys.executable, "-c", code, __file__, *found]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [line.split() for line in done.stdout.splitlines()] == list(found.values())


def problems(name):
    """The contents of the problems of the quick form of a suite."""
    quick = SUITES[name](folder()).quick()
    return [quick.content(task, image, 0) for task, image in places(quick)]


def judged(suite, entry, task, image):
    """Outcome of an entry as it comes, which has figures that are finite and known."""
    settings = {} if entry.has_default or entry.knob is None else {entry.knob.name: entry.knob.low}
    outcome = suite.judge(entry, settings, task, image, 0)
    assert set(outcome.measures) <= set(MEASURES)
    if isinstance(suite, ImageSuite):
        assert suite.primary in outcome.measures
    assert all(math.isfinite(value) for value in outcome.measures.values())
    assert outcome.costs["seconds"] >= 0
    return outcome


@pytest.mark.cases_are_slow
def test_the_first_entry_gives_the_same_figures_each_time(suite):
    quick = suite.quick()
    entry = next(e for e in quick.entries if e.missing is None)
    task, image = next(place for place in places(quick) if quick.takes(entry, place[0]))
    first, second = (judged(quick, entry, task, image).measures for _ in range(2))
    if suite.name != "operators":  # whose figures are times
        assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST_OF_A_KIND)
def test_every_entry_of_the_quick_form_gives_figures(suite):
    """Suites of one class have the same entries: the first of each class stands for the others."""
    quick = suite.quick()
    for entry in quick.entries:
        if entry.missing is None:
            figures = 0
            for task, image in places(quick):
                if quick.takes(entry, task):
                    # a sampler of latent variables has no use for a prior that is no generator
                    with contextlib.suppress(*(() if isinstance(quick, ImageSuite) else (CapabilityError,))):
                        figures += bool(judged(quick, entry, task, image).measures)
            assert figures, f"{entry.name} can do nothing of it"


def test_missing_data_are_named_with_where_to_get_them(name, tmp_path):
    def problems():
        quick = load_suites([name], tmp_path)[0].quick()
        return [quick.content(task, image, 0) for task, image in places(quick)]

    if name in NEED_NOTHING:
        assert problems()
        return
    with pytest.raises(FileError) as error:
        problems()
    for part in (str(tmp_path), "INVGEN_DATA", "--data"):
        assert part in str(error.value)
    assert any(source in str(error.value) for source in SOURCES.values())


class TestNames:
    """What the user calls suites."""

    def test_an_unknown_name_is_offered_the_nearest(self):
        with pytest.raises(InvgenError, match="did you mean inpainting"):
            load_suites(["inpaintin"], folder())

    def test_a_place_in_python(self, tmp_path):
        found = load_suites(["invgen.bench.suites.operators:Operators"], tmp_path)
        assert found == [SUITES["operators"](tmp_path)]
        with pytest.raises(InvgenError, match="no_such_suite"):
            load_suites(["invgen.bench.suites.operators:no_such_suite"], tmp_path)
        with pytest.raises(InvgenError, match="should be a Suite"):
            load_suites(["invgen.bench.suites:ENTRY_POINTS"], tmp_path)

    def test_an_entry_point(self, tmp_path, monkeypatch):
        package = tmp_path / "mine-1.0.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        (package / "entry_points.txt").write_text(
            "[invgen.bench]\nmine = invgen.bench.suites.operators:Operators\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        assert load_suites(["mine"], tmp_path) == [SUITES["operators"](tmp_path)]
        with pytest.raises(InvgenError, match="did you mean mine"):
            load_suites(["min"], tmp_path)

    def test_two_of_one_name_are_refused(self, tmp_path):
        with pytest.raises(InvgenError, match="two suites operators"):
            load_suites(["operators", "invgen.bench.suites.operators:Operators"], tmp_path)
