"""Maps: the same whatever the parts, wherever a spectrum stands, and as fine as asked for."""

import numpy as np
import pytest
from spectra_data import AXIS, PHASES, expected, labelled_counts, write_image

from blender_gen.sample import Header, Sample, write_samples
from sem_train.spectra import map_contents
from sem_train.spectra.evaluation import Bench, mean_counts, on_scene, thinned_to
from sem_train.spectra.map_contents import PhaseSpectra
from sem_train.spectra.mapping import map_image
from sem_train.spectra.methods import method_of
from sem_train.spectra.named import UNCLASSIFIED
from sem_train.spectra.references import gather, scenes_learnt_of
from sem_train.spectra.scenes import InMemory, Scene, SpectralImage, binned, majority, open_image, open_scenes
from sem_train.spectra.scoring import at_boundaries, score
from sem_train.spectra.settings import DataSettings
from sem_train.spectra.tables import shares_of_map
from semforge.errors import InputError
from semforge.spectra import EnergyAxis

COUNTS, LABELS = labelled_counts()


def image(counts: np.ndarray = COUNTS) -> SpectralImage:
    return SpectralImage("scan", InMemory(counts), AXIS, 15.0, 0.5)


def mapped(model, counts: np.ndarray = COUNTS, method: str = "network", **options):
    namer = method_of(method, model, lambda: gather(model.config.data)[0])
    return map_image(namer, model.classes, image(counts), AXIS, **options)


@pytest.mark.parametrize("method", ["network", "sam", "bff", "nnls", "likelihood"])
def test_stripes_are_mapped_by_every_method(tiny_model, method):
    assert (mapped(tiny_model, method=method).labels == LABELS).mean() > 0.9


@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.parametrize("block_bytes", [1, 9 * 4 * 128, 100 * 4 * 128])
def test_the_map_does_not_depend_on_the_parts(tiny_model, binning, block_bytes):
    whole = mapped(tiny_model, binning=binning)
    parts = mapped(tiny_model, binning=binning, block_bytes=block_bytes)
    assert np.array_equal(whole.labels, parts.labels)
    assert np.array_equal(whole.counts, parts.counts)
    assert parts.scores == pytest.approx(whole.scores, abs=1e-4)


def test_a_spectrum_is_named_alike_wherever_it_stands(tiny_model):
    order = np.random.default_rng(0).permutation(COUNTS.shape[0] * COUNTS.shape[1])
    shuffled = COUNTS.reshape(-1, 128)[order].reshape(COUNTS.shape)
    there = mapped(tiny_model, shuffled).labels.ravel()
    assert np.array_equal(there, mapped(tiny_model).labels.ravel()[order])


def test_parts_cover_an_image_once_and_stay_small():
    seen = np.zeros(COUNTS.shape[:2], int)
    for rows, columns, counts in image().blocks(3, 40 * 4 * 128):
        seen[rows, columns] += 1
        assert counts.shape[0] * counts.shape[1] <= 40
        assert rows.start % 3 == columns.start % 3 == 0
        assert np.array_equal(counts, COUNTS[rows, columns])
    assert (seen == 1).all()


@pytest.mark.parametrize("method", ["network", "sam", "bff", "nnls", "likelihood"])
def test_empty_pixels_stay_unclassified_and_nothing_warns(tiny_model, method):
    counts = COUNTS.copy()
    counts[:5] = 0
    found = mapped(tiny_model, counts, method)
    assert (found.labels[:5] == UNCLASSIFIED).all()
    assert (found.labels[5:] >= 0).mean() > 0.9


@pytest.mark.parametrize("method", ["network", "sam", "bff", "nnls", "likelihood"])
@pytest.mark.parametrize("axis", [AXIS, EnergyAxis(256, 20.0)])
def test_pixels_of_a_zero_peak_alone_stay_unclassified(tiny_model, method, axis):
    counts = np.zeros((3, 4, axis.channels), np.uint16)
    counts[..., : axis.channel_of(0.08) + 1] = 9000
    namer = method_of(method, tiny_model, lambda: gather(tiny_model.config.data)[0])
    found = map_image(namer, tiny_model.classes, SpectralImage("scan", InMemory(counts), axis, 15.0, 0.5), AXIS)
    assert (found.labels == UNCLASSIFIED).all()


def test_spectra_of_phases_are_sums_of_their_pixels_whatever_the_parts():
    gathered = PhaseSpectra(tuple(PHASES), AXIS)
    for rows, columns, counts in image().blocks(1, 40 * 4 * 128):
        gathered.add(counts, np.where(LABELS[rows, columns] == 3, UNCLASSIFIED, LABELS[rows, columns]).ravel())
    for k in range(3):
        assert np.array_equal(gathered.counts[k], COUNTS[k == LABELS].sum(0))
    assert gathered.squares.tolist() == [120, 120, 120, 0, 120]
    assert np.array_equal(gathered.counts[UNCLASSIFIED], COUNTS[LABELS == 3].sum(0))
    spectra = gathered.shown(15.0)
    assert [one.name for one in spectra] == ["quartz", "calcite", "hematite", "not named"]
    assert "Si" in spectra[0].elements and "Ca" in spectra[1].elements and "Ca" not in spectra[0].elements


def test_elements_are_mapped_by_their_lines_in_squares_of_pixels(monkeypatch):
    monkeypatch.setattr(map_contents, "MAP_PX", 12)
    shown = map_contents.element_maps(image(), ("O", "Si", "Ca"))
    assert [*shown.maps][:2] == ["Si Kα", "Ca Kα"] or [*shown.maps][:2] == ["Ca Kα", "Si Kα"]
    assert shown.pixel_size_um == 1.0 and shown.together
    silicon = shown.maps["Si Kα"]
    assert silicon.shape == (12, 10)
    window = AXIS.channels_between(1.74 - 0.0476, 1.74 + 0.0476)
    assert silicon[3, 1] == pytest.approx(COUNTS[6:8, 2:4, window].sum(), rel=0.35)
    assert silicon[:, :2].mean() > 5 * silicon[:, 4:].mean()
    assert map_contents.element_maps(image(), ("H",)) is None


def test_binning_sums_counts_and_gives_back_an_image_of_the_same_size(tiny_model):
    assert binned(COUNTS, 7).sum() == COUNTS.sum()
    found = mapped(tiny_model, binning=7)
    assert found.labels.shape == (4, 3)
    assert found.in_pixels(found.labels).shape == LABELS.shape
    assert found.counts[0, 0] == COUNTS[:7, :7].sum()


def test_the_commonest_label_of_a_square_is_its_label():
    labels = np.array([[1, 1, 2], [1, 3, 2], [4, 4, 4]])
    assert majority(labels, 2).tolist() == [[1, 2], [4, 4]]


def test_own_files_are_mapped_as_arrays_are(tiny_model, tmp_path):
    for name in ("scan.h5", "scan.hspy"):
        opened = open_image(write_image(tmp_path / name, COUNTS))
        found = map_image(tiny_model, tiny_model.classes, opened, AXIS, block_bytes=50 * 4 * 128)
        assert np.array_equal(found.labels, mapped(tiny_model).labels)
        assert opened.pixel_size_um == pytest.approx(0.5)


def test_thinning_keeps_a_scene_poisson():
    scene = Scene("bright", InMemory(np.full((100, 100, 4), 50, np.uint16)), AXIS, labels=np.zeros((100, 100), int))
    thinned = thinned_to(scene, 0.2).counts.read(slice(None), slice(None))
    assert thinned.mean() == pytest.approx(10, rel=0.02)
    assert thinned.var() == pytest.approx(8, rel=0.05)  # of a fixed number of counts: binomial


def test_scores_of_a_scene_by_hand():
    true = np.array([0, 0, 1, 1, -1])
    scores = np.eye(2, dtype=np.float32)[[0, 1, 1, 1, 0]]
    labels = np.array([0, 1, 1, -1, -1])
    found = score(true, labels, scores, np.array([True, True, False, False, False]), strangers=true < 0)
    assert found.spectra == 4
    assert found.accuracy == 0.75
    assert found.recall.tolist() == [0.5, 1.0]
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert found.unclassified == 0.25
    assert found.accuracy_of_named == pytest.approx(2 / 3)
    assert (found.boundary, found.interior, found.refused) == (0.5, 1.0, 1.0)


def test_boundaries_are_pixels_beside_another_label():
    labels = np.zeros((5, 6), int)
    labels[:, 3:] = 1
    assert at_boundaries(labels).tolist() == [[False, False, True, True, False, False]] * 5


def test_fewer_counts_are_scored_worse_and_binning_better(tiny_model):
    scene = Scene("stripes", InMemory(COUNTS), AXIS, 15.0, 0.5, tuple(PHASES), LABELS)
    assert mean_counts(scene) == pytest.approx(300, rel=0.02)
    rows = on_scene(Bench(tiny_model, ["network"]), scene, [3, 8, 1e6], [1, 2])
    found = {(round(row.counts, -1) if row.counts > 100 else row.counts, row.binning): row.scores for row in rows}
    assert set(found) == {(300.0, 1), (300.0, 2), (3, 1), (8, 1)}
    assert found[3, 1].accuracy < found[8, 1].accuracy <= found[300.0, 1].accuracy
    assert found[3, 1].unclassified > 0.9


def test_shares_of_a_map_are_those_of_its_area(tiny_model):
    counts, _ = labelled_counts(height=40, width=40, dose=3000)
    shares = {share.name: share for share in shares_of_map(mapped(tiny_model, counts))}
    for name in PHASES:
        assert shares[name].share == pytest.approx(0.25, abs=0.05)
        assert shares[name].low_95 <= shares[name].share <= shares[name].high_95
    assert sum(share.share for share in shares.values()) == pytest.approx(1)


def test_images_without_labels_or_with_others_are_refused(tmp_path):
    path = write_image(tmp_path / "scan.h5", COUNTS)
    with pytest.raises(InputError, match="has no labels"):
        open_scenes(path)
    from PIL import Image

    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "scan_labels.png")
    with pytest.raises(InputError, match="is of 4 × 4 pixels, expected the 24 × 20"):
        open_scenes(path)


def write_sample_file(path, with_shares: bool):
    """Two specimens of stripes; two parts are of one material, and one phase is of no class."""
    parts = [{"name": "matrix", "material": "quartz"}, {"name": "vein", "material": "calcite"},
             {"name": "grain", "material": "quartz"}, {"name": "hole", "material": "epoxy"}]  # fmt: skip
    labels = np.broadcast_to(np.arange(20) // 5, (16, 20)).astype(np.uint8)
    materials = np.array([0, 1, 0, 2])[labels]
    spectra = np.stack([expected("quartz"), expected("calcite"), np.ones(128)])
    spectra *= 400 / spectra.sum(-1, keepdims=True)
    about = {"axis": {"channels": 128, "width_ev": 40.0, "offset_ev": 0.0}, "beam_kev": 15.0, "parts": parts}
    samples = []
    for index in range(2):
        counts = np.random.default_rng(index).poisson(spectra[materials]).astype(np.uint16)
        shares = np.where(np.arange(4)[:, None, None] == labels, 255, 0).astype(np.uint8)
        edx = {"spectrum_image": counts} | ({"shares": shares} if with_shares else {})
        pixels = np.zeros((1, 16, 20), np.uint8)
        samples.append(Sample(index, pixels, labels, labels.astype(np.uint32), 0.25, {"edx": about}, [{}], edx=edx))
    header = Header("text", "hash", 0, ("quartz", "calcite", "albite", "other"), {}, "CPU")
    write_samples(path, samples, header)
    return path, materials


def test_samples_are_scenes_of_materials(tiny_model, tmp_path):
    path, materials = write_sample_file(tmp_path / "dataset.h5", with_shares=True)
    scenes = open_scenes(tmp_path)
    assert [scene.name for scene in scenes] == [f"{tmp_path.name}_0", f"{tmp_path.name}_1"]
    assert scenes[1].names == ("quartz", "calcite", "epoxy")
    assert np.array_equal(scenes[1].labels, materials)
    assert scenes[1].shares.sum(-1) == pytest.approx(np.ones((16, 20)))
    assert open_image(path, 1).pixel_size_um == 0.25
    rows = on_scene(Bench(tiny_model, ["network"]), scenes[0])
    assert rows[0].scores.spectra == 15 * 16  # the epoxy is of none of the classes
    assert rows[0].scores.accuracy > 0.95
    assert rows[0].scores.refused > 0.95
    assert rows[0].scores.share_error < 0.2
    with pytest.raises(InputError, match="has samples 0 to 1, found 2"):
        open_image(path, 2)


def test_held_out_samples_are_scored_and_the_others_learnt(tmp_path):
    path, _ = write_sample_file(tmp_path / "dataset.h5", with_shares=True)
    learnt, held, _ = gather(DataSettings(images=[{"path": path, "held_out": 1}]))
    assert set(learnt.group) == {0} and set(held.group) == {1} and not held.learnt_too
    with pytest.raises(InputError, match="has 2 spectrum images, held_out is 2, expected fewer"):
        gather(DataSettings(images=[{"path": path, "held_out": 2}]))
    known = DataSettings(images=[{"path": tmp_path, "held_out": 1}])
    assert (scenes_learnt_of(path, known, 2), scenes_learnt_of(tmp_path / "other.h5", known, 2)) == (1, 0)


def test_without_shares_the_phases_are_the_labels(tmp_path):
    write_sample_file(tmp_path / "dataset.h5", with_shares=False)
    scene = open_scenes(tmp_path)[0]
    assert scene.names == ("quartz", "calcite", "albite", "other")
    assert np.array_equal(scene.labels[0], np.arange(20) // 5)


def test_samples_without_spectrum_images_are_refused(tmp_path):
    pixels = np.zeros((1, 4, 4), np.uint8)
    sample = Sample(0, pixels, pixels[0], pixels[0].astype(np.uint32), 0.25, {}, [{}])
    write_samples(tmp_path / "dataset.h5", [sample], Header("text", "hash", 0, ("a",), {}, "CPU"))
    with pytest.raises(InputError, match="keeps no spectrum images"):
        open_scenes(tmp_path)
