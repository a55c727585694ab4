"""Drawn spectra: what they hold, and what they depend on."""

import numpy as np
import pytest
import torch
from spectra_data import AXIS, PHASES, expected, labelled_counts, library, write_image, write_point, write_tiny_library

from sem_train.spectra.draws import Drawer
from sem_train.spectra.references import gather, learnt_points
from sem_train.spectra.settings import DataSettings, DrawSettings
from semforge.errors import InputError
from semforge.spectra import write_library

NO_ERRORS = {"gain": 0, "offset_ev": 0, "broadening_ev": (0, 0), "efficiency": 0, "absorption": 0,
             "background": (0, 0), "carbon": (0, 0)}  # fmt: skip
HOST = torch.device("cpu")


@pytest.fixture
def data(tmp_path) -> DataSettings:
    return DataSettings(libraries=[{"path": write_tiny_library(tmp_path / "library.h5")}], held_out=0.34)


def drawer(data: DataSettings, **settings) -> Drawer:
    return Drawer(gather(data)[0], DrawSettings(**settings), AXIS, HOST)


def test_a_batch_depends_on_seed_and_number_alone(data):
    one, other = drawer(data), drawer(data)
    other.batch(3, 16, 0)
    assert torch.equal(one.batch(7, 16, 0).counts, other.batch(7, 16, 0).counts)
    assert not torch.equal(one.batch(7, 16, 0).counts, one.batch(8, 16, 0).counts)
    assert not torch.equal(one.batch(7, 16, 0).counts, one.batch(7, 16, 1).counts)


def test_doses_are_poisson_numbers_around_what_was_asked_for(data):
    drawn = drawer(data, mixed=0, blended=0, **NO_ERRORS).batch(0, 4000, 0, dose=400)
    total = drawn.counts.sum(-1)
    assert float(total.mean()) == pytest.approx(400, abs=4 * 20 / 4000**0.5)
    assert float(total.std()) == pytest.approx(20, rel=0.1)


def test_without_errors_the_mean_of_draws_is_the_expected_spectrum(data):
    drawn = drawer(data, mixed=0, blended=0, **NO_ERRORS).batch(0, 4000, 0, dose=10_000)
    names = list(PHASES)
    for k, name in enumerate(names):
        mean = drawn.counts[drawn.shares[:, k] == 1].mean(0).numpy() / 10_000
        variants = [expected(name, v) / expected(name, v).sum() for v in range(6)]
        assert mean.sum() == pytest.approx(1, abs=0.01)
        assert (mean > np.min(variants, axis=0) - 1e-3).all()
        assert (mean < np.max(variants, axis=0) + 1e-3).all()


def test_draws_beyond_two_variants_go_as_far_as_told_and_are_never_negative(data):
    channel = AXIS.channel_of(PHASES["quartz"][1])
    heights = [expected("quartz", v)[channel] / expected("quartz", v).sum() for v in range(6)]
    found = {}
    for far in (0.0, 1.0):
        drawn = drawer(data, mixed=0, blended=1, beyond=far, **NO_ERRORS).batch(0, 1000, 0, dose=1e7)
        assert (drawn.counts >= 0).all()
        quartz = drawn.counts[drawn.shares[:, 0] == 1][:, channel] / 1e7
        found[far] = float(quartz.max() - quartz.min()) / (max(heights) - min(heights))
    assert found[0.0] < 1.1 < 1.4 < found[1.0]


def test_shares_of_mixtures_sum_to_one_and_say_what_was_mixed(data):
    drawn = drawer(data, mixed=1.0, **NO_ERRORS).batch(0, 300, 0, dose=1e6)
    assert drawn.shares.sum(-1).numpy() == pytest.approx(np.ones(300), abs=1e-5)
    assert ((drawn.shares > 0).sum(-1) <= 2).all()
    calcite, quartz = list(PHASES).index("calcite"), list(PHASES).index("quartz")
    both = (drawn.shares[:, calcite] > 0) & (drawn.shares[:, quartz] > 0)
    calcium = drawn.counts[both][:, AXIS.channel_of(3.69)]
    order = drawn.shares[both, calcite].argsort()
    assert np.corrcoef(calcium[order], drawn.shares[both, calcite][order])[0, 1] > 0.95


def test_errors_of_the_energy_scale_move_lines_and_keep_counts(data):
    shifted = drawer(data, mixed=0, **(NO_ERRORS | {"offset_ev": 40.0})).batch(0, 400, 0, dose=1e6)
    quartz = shifted.counts[shifted.shares[:, 0] == 1].numpy()
    near = slice(AXIS.channel_of(1.3), AXIS.channel_of(2.2))
    centres = (quartz[:, near] * AXIS.energies_kev[near]).sum(-1) / quartz[:, near].sum(-1)
    assert centres.std() == pytest.approx(0.04, rel=0.35)


def test_held_out_variants_are_not_learnt(data):
    learnt, held, _ = gather(data)
    assert set(learnt.group) & set(held.group) == set()
    assert len(set(learnt.group) | set(held.group)) == 6
    assert set(held.phase) == set(learnt.phase) == {0, 1, 2, 3}


def write_points(folder, names, each):
    for name in names:
        for i in range(each):
            write_point(folder / name / f"{i}.msa", np.random.default_rng(i).poisson(3000 * expected(name, i)))
    return {"path": folder}


def test_few_variants_are_enough_to_hold_one_out(data):
    learnt, held, _ = gather(data.model_copy(update={"held_out": 0.01}))
    assert len(set(learnt.group)) == 5 and len(set(held.group)) == 1 and not held.learnt_too
    learnt, held, _ = gather(data.model_copy(update={"held_out": 0.0}))
    assert len(learnt) == len(held) and held.learnt_too == tuple(PHASES)


def test_of_measured_spectra_one_a_class_is_held_out_where_there_are_two(tmp_path):
    source = write_points(tmp_path / "points", ("quartz", "calcite"), 3)
    write_point(
        tmp_path / "points" / "albite" / "only.msa", np.random.default_rng(0).poisson(3000 * expected("albite"))
    )
    data = DataSettings(points=[source])
    learnt, held, _ = gather(data)
    assert [np.bincount(part.phase).tolist() for part in (learnt, held)] == [[1, 2, 2], [1, 1, 1]]
    assert learnt.learnt_too == held.learnt_too == ("albite",)
    others = lambda part: set(part.group[part.phase > 0])
    assert not others(learnt) & others(held)
    names = {f"{path.parent.name}/{path.name}" for path in learnt_points(data)}
    assert len(names) == 5 and "albite/only.msa" in names


def test_sources_may_bring_classes_of_their_own(tmp_path):
    write_library(tmp_path / "library.h5", library(("quartz", "calcite")))
    points = write_points(tmp_path / "points", ("albite", "hematite"), 3)
    write_point(tmp_path / "points" / "gold" / "only.msa", (3000 * expected("albite", 5)).round())
    data = DataSettings(libraries=[{"path": tmp_path / "library.h5"}], points=[points])
    for part in gather(data)[:2]:
        drawn = Drawer(part, DrawSettings(mixed=1.0), AXIS, HOST).batch(0, 200, 0)
        assert (drawn.shares.sum(0) > 0).all() and drawn.shares.shape == (200, 5)


def test_measured_spectra_are_never_drawn_with_more_counts_than_they_have(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("quartz", "calcite"):
        counts = rng.poisson(expected(name) / expected(name).sum() * 700)
        write_point(tmp_path / "points" / name / "one.msa", counts)
    points = DataSettings(points=[{"path": tmp_path / "points"}])
    drawn = drawer(points, mixed=0, counts=(100, 1e6), **NO_ERRORS).batch(0, 200, 0)
    assert float(drawn.dose.max()) < 800


def test_an_index_names_the_classes_of_point_spectra(tmp_path):
    for name in ("quartz", "calcite"):
        write_point(tmp_path / f"{name}.msa", (1000 * expected(name)).round())
    (tmp_path / "index.csv").write_text("file,class\nquartz.msa,sand\ncalcite.msa,lime\n")
    assert gather(DataSettings(points=[{"path": tmp_path}]))[0].classes == ("sand", "lime")


def test_classes_gather_phases_by_pattern(data):
    grouped = data.model_copy(update={"classes": {"silicate": ("quartz", "alb*"), "other": ("*",)}})
    learnt, _, _ = gather(grouped)
    assert learnt.classes == ("silicate", "other")
    assert [learnt.phases[i] for i in np.flatnonzero(learnt.class_of == 0)] == ["quartz", "albite"]


def test_spectrum_images_teach_by_the_sums_of_their_interiors(tmp_path):
    from PIL import Image

    counts, labels = labelled_counts(dose=5000)
    image = write_image(tmp_path / "scan.h5", counts)
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "scan_labels.png")
    learnt, held, axis = gather(DataSettings(images=[{"path": image}]))
    assert axis == AXIS
    assert learnt.classes == ("class_0", "class_1", "class_2", "class_3")
    assert held.learnt_too == learnt.classes  # so small an image is one sum of each phase
    for k, name in enumerate(PHASES):
        mean = learnt.means()[k]
        assert mean == pytest.approx(expected(name) / expected(name).sum(), abs=0.004)


def test_what_cannot_be_learnt_is_refused_by_name(tmp_path, data):
    with pytest.raises(InputError, match="class 'gold' has no spectrum; there are those of quartz"):
        gather(data.model_copy(update={"classes": {"gold": ("Au",), "rest": ("*",)}}))
    write_point(tmp_path / "points" / "quartz" / "none.msa", np.zeros(128))
    with pytest.raises(InputError, match=r"none\.msa: has no counts"):
        gather(DataSettings(points=[{"path": tmp_path / "points"}]))
    fine = DataSettings(libraries=data.libraries, axis={"channels": 256, "width_ev": 20})
    with pytest.raises(InputError, match="128 channels of 40 eV from 0, 256 channels of 20 eV"):
        gather(fine)
