"""Micrographs to tables of classified particles: where particles and spectra come from, and what goes wrong."""

import csv
import json

import numpy as np
import pytest
from particle_fields import AXIS, CLASSES, BySize, discs, spectrum_of, write_field
from PIL import Image

from sem_train.analysis.record import Failure
from sem_train.classification.particle_page import write_particle_page
from sem_train.classification.particle_records import ClassifiedRecord, write_folder
from sem_train.classification.particle_spectra import read_spectrum_table, spectra_from_image
from sem_train.classification.predicting import counted_of, sample_shares
from sem_train.classification.prediction import FieldReader, PredictOptions, classify_fields, field_jobs
from sem_train.classification.segments import by_threshold, of_instances
from semforge.errors import InputError
from semforge.settings import validate
from semforge.spectra import EnergyAxis, Spectrum, SpectrumImage, write_emsa, write_spectrum_image


def options_of(folder, **more):
    return PredictOptions(**{"instances": folder / "maps", **more})


def classified(folder, options, classifier=None, sample=None, images=None):
    classifier = classifier or BySize()
    jobs = field_jobs(images or sorted(folder.glob("*.png")), None, sample)
    return classify_fields(jobs, classifier, FieldReader(options, classifier.axis, jobs), folder / "out", "model")


def the(outcomes):
    assert len(outcomes) == 1 and not isinstance(outcomes[0].result, Failure), outcomes
    return outcomes[0].result


def spectra_table(folder, rows):
    with (folder / "spectra.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "instance", "x", "y", "file"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "spectra.csv"


def emsa(folder, name, counts, axis=AXIS):
    write_emsa(folder / name, Spectrum(np.rint(counts), axis, beam_kev=15.0))
    return name


def test_particles_are_measured_and_named(tmp_path):
    write_field(tmp_path, "a")
    record = the(classified(tmp_path, options_of(tmp_path, pixel_size_um=0.5)))
    assert [p.name for p in record.particles] == ["small", "large", "large"]  # 113, 441 and 253 pixels
    first = record.particles[0]
    assert (first.x_px, first.y_px) == pytest.approx((20, 20)) and not first.cut
    assert first.sizes["ecd"] == pytest.approx(0.5 * 12, rel=0.05)
    assert (first.confidence, first.second, first.decided_by) == (0.9, "large", "image")
    assert first.sizes["volume_estimate"] == pytest.approx(np.pi / 6 * first.sizes["ecd"] ** 3, rel=0.1)


def test_a_particle_at_the_border_is_named_but_not_sized(tmp_path):
    write_field(tmp_path, "a", discs(places=((20, 20, 6), (2, 60, 12))))
    record = the(classified(tmp_path, options_of(tmp_path)))
    cut = record.particles[1]
    assert cut.cut and cut.name and cut.sizes["ecd"] is None and cut.sizes["area"] > 0
    counted = counted_of([record], CLASSES)
    assert np.isnan(counted.weight[1]) and counted.area[1] > 0


def test_no_particles_is_a_result(tmp_path):
    write_field(tmp_path, "a", np.zeros((40, 50), np.uint8))
    record = the(classified(tmp_path, options_of(tmp_path)))
    assert record.particles == () and "no particles found" in record.warnings
    shares, warnings = sample_shares([record], CLASSES)
    assert shares == [] and "no shares" in warnings[0]


def test_colour_counts_as_its_luminance(tmp_path):
    path = write_field(tmp_path, "a")
    grey = the(classified(tmp_path, options_of(tmp_path))).particles
    pixels = np.asarray(Image.open(path))
    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(path)
    assert the(classified(tmp_path, options_of(tmp_path))).particles == grey


def test_one_corrupt_of_many_costs_itself_alone(tmp_path):
    for name in "abc":
        write_field(tmp_path, name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    outcomes = classified(tmp_path, options_of(tmp_path))
    assert [isinstance(o.result, Failure) for o in outcomes] == [False, True, False]
    assert "cannot be read as an image" in outcomes[1].result.reason


def test_an_interrupted_batch_goes_on(tmp_path):
    for name in "abc":
        write_field(tmp_path, name)
    with pytest.raises(KeyboardInterrupt):
        classified(tmp_path, options_of(tmp_path), BySize(stop_at=3))
    after = BySize()
    outcomes = classified(tmp_path, options_of(tmp_path), after)
    assert [o.was_there for o in outcomes] == [True, True, False] and after.calls == 1
    changed = options_of(tmp_path, pixel_size_um=2.0)
    assert not any(o.was_there for o in classified(tmp_path, changed))


def test_results_never_replace_micrographs(tmp_path):
    path = write_field(tmp_path, "a")
    jobs = field_jobs([path], None, None)
    with pytest.raises(InputError, match=r"holds a\.png, which results"):
        classify_fields(jobs, BySize(), FieldReader(options_of(tmp_path), None, jobs), tmp_path, "model")


def test_a_new_map_means_a_new_result(tmp_path):
    write_field(tmp_path, "a")
    classified(tmp_path, options_of(tmp_path))
    Image.fromarray(discs(places=((20, 20, 6),))).save(tmp_path / "maps" / "a.png")
    assert len(the(classified(tmp_path, options_of(tmp_path))).particles) == 1


def test_spectra_by_instance_and_by_place(tmp_path):
    write_field(tmp_path, "a")
    iron, silicon = spectrum_of({"Fe": 0.8, "O": 0.2}), spectrum_of({"Si": 0.7, "O": 0.3})
    table = spectra_table(tmp_path, [
        {"image": "a.png", "instance": 1, "file": emsa(tmp_path, "fe.msa", iron)},
        {"image": "a", "x": 60, "y": 20, "file": emsa(tmp_path, "si.msa", silicon)},
    ])  # fmt: skip
    reads = BySize(axis=AXIS)
    record = the(classified(tmp_path, options_of(tmp_path, spectra=table), reads))
    by_iron, by_silicon, without = record.particles
    assert (by_iron.name, by_silicon.name) == ("large", "small")  # iron is large to this classifier
    assert by_iron.elements[0].element == "Fe" and by_iron.spectrum == "fe.msa"
    assert by_iron.counts == pytest.approx(np.rint(iron).sum())
    assert (by_iron.decided_by, without.decided_by, without.counts) == ("both", "image", None)


def test_an_empty_spectrum_is_never_classified(tmp_path):
    write_field(tmp_path, "a")
    table = spectra_table(tmp_path, [
        {"image": "a", "instance": 1, "file": emsa(tmp_path, "empty.msa", np.zeros(1024))},
        {"image": "a", "instance": 2, "file": emsa(tmp_path, "fe.msa", spectrum_of({"Fe": 1.0}))},
    ])  # fmt: skip
    record = the(classified(tmp_path, options_of(tmp_path, spectra=table), BySize(axis=AXIS, sees_image=False)))
    empty, iron, without = record.particles
    assert (empty.name, empty.confidence, empty.decided_by) == ("", None, "") and "too few counts" in empty.note
    assert empty.elements == () and iron.decided_by == "spectrum"
    assert without.name == "" and "no spectrum" in without.note
    assert "2 of 3 particles" in " ".join(record.warnings)
    shares, warnings = sample_shares([record], CLASSES)
    assert sum(s.count for s in shares if s.by == "number") == 1 and "2 particles without a name" in warnings[0]


@pytest.mark.parametrize("sees_image", [False, True])
def test_a_zero_peak_alone_is_no_spectrum(tmp_path, sees_image):
    write_field(tmp_path, "a")
    peak = np.where(AXIS.energies_kev < 0.1, 5000.0, 0.0)
    table = spectra_table(tmp_path, [{"image": "a", "instance": 1, "file": emsa(tmp_path, "zero.msa", peak)}])
    classifier = BySize(axis=AXIS, sees_image=sees_image)
    first = the(classified(tmp_path, options_of(tmp_path, spectra=table), classifier)).particles[0]
    assert first.decided_by == ("image" if sees_image else "") and bool(first.name) == sees_image
    assert "too few counts above 0.1 keV" in first.note and first.elements == ()


def test_no_spectrum_at_all_leaves_nothing_named(tmp_path):
    write_field(tmp_path, "a")
    record = the(classified(tmp_path, options_of(tmp_path), BySize(axis=AXIS, sees_image=False)))
    assert all(not p.name for p in record.particles)


def test_another_axis_is_rebinned_or_refused(tmp_path):
    write_field(tmp_path, "a")
    fine, coarse = EnergyAxis(4096, 2.5, -3.75), EnergyAxis(512, 20.0)
    iron = {"Fe": 1.0}
    table = spectra_table(tmp_path, [
        {"image": "a", "instance": 1, "file": emsa(tmp_path, "fine.msa", spectrum_of(iron, axis=fine), fine)},
        {"image": "a", "instance": 2, "file": emsa(tmp_path, "coarse.msa", spectrum_of(iron, axis=coarse), coarse)},
    ])  # fmt: skip
    record = the(classified(tmp_path, options_of(tmp_path, spectra=table), BySize(axis=AXIS)))
    assert record.particles[0].decided_by == "both" and record.particles[1].decided_by == "image"
    (problem,) = record.problems
    assert "coarse.msa" in problem and "512 channels of 20 eV" in problem and "1024 channels of 10 eV" in problem


def test_spectra_of_which_none_can_be_used_fail_the_image(tmp_path):
    write_field(tmp_path, "a")
    (tmp_path / "broken.msa").write_text("no spectrum")
    table = spectra_table(tmp_path, [{"image": "a", "instance": 1, "file": "broken.msa"}])
    (outcome,) = classified(tmp_path, options_of(tmp_path, spectra=table), BySize(axis=AXIS))
    assert isinstance(outcome.result, Failure) and "broken.msa" in outcome.result.reason


def test_a_place_beside_all_particles_is_named(tmp_path):
    write_field(tmp_path, "a")
    table = spectra_table(tmp_path, [
        {"image": "a", "x": 90, "y": 70, "file": emsa(tmp_path, "fe.msa", spectrum_of({"Fe": 1.0}))},
        {"image": "a", "x": 27, "y": 20, "file": "fe.msa"},  # a pixel off the first disc
    ])  # fmt: skip
    record = the(classified(tmp_path, options_of(tmp_path, spectra=table), BySize(axis=AXIS)))
    assert "line 2: x 90, y 70 lies on no particle" in record.problems[0] and len(record.problems) == 1
    assert record.particles[0].decided_by == "both"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,file\na,b.msa\n", "expected image, file, and either instance or x and y"),
        ("image,file,instance\na,b.msa,two\n", "line 2: instance, x and y must be numbers, found 'two'"),
        ("image,file,instance\na,b.msa,\n", "line 2: says no particle"),
        ("image,file,instance\na,,1\n", "line 2: names no image or no file"),
    ],
)
def test_a_table_of_spectra_is_checked(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_spectrum_table(tmp_path / "t.csv")


def test_a_spectrum_image_is_summed_over_each_particle(tmp_path):
    numbers = np.zeros((8, 12), np.uint8)
    numbers[0:4, 0:4], numbers[4:8, 8:12], numbers[6, 1] = 5, 9, 2
    numbers[7, 1] = numbers[6, 0] = numbers[7, 0] = 2
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (4, 6, 32)).astype(np.uint16)
    axis = EnergyAxis(32, 100.0)
    write_spectrum_image(tmp_path / "a.h5", SpectrumImage(counts, axis))
    found = spectra_from_image(tmp_path / "a.h5", of_instances(numbers), (8, 12), None)
    expected = [counts[3, 0], counts[:2, :2].sum((0, 1)), counts[2:, 4:].sum((0, 1))]  # of particles 2, 5 and 9
    assert np.array_equal(found.counts, expected)
    with pytest.raises(InputError, match="has 6 × 4 pixels, its micrograph 12 × 12"):
        spectra_from_image(tmp_path / "a.h5", of_instances(np.pad(numbers, ((0, 4), (0, 0)))), (12, 12), None)
    with pytest.raises(InputError, match=r"a\.h5.*32 channels of 100 eV"):
        spectra_from_image(tmp_path / "a.h5", of_instances(numbers), (8, 12), AXIS)


def test_a_map_of_another_size_is_refused(tmp_path):
    write_field(tmp_path, "a")
    Image.fromarray(np.ones((10, 10), np.uint8)).save(tmp_path / "maps" / "a.png")
    (outcome,) = classified(tmp_path, options_of(tmp_path))
    assert "10 × 10 pixels, its micrograph 100 × 80" in outcome.result.reason


def test_a_missing_map_is_named(tmp_path):
    path = write_field(tmp_path, "a")
    (tmp_path / "maps" / "a.png").unlink()
    (outcome,) = classified(tmp_path, options_of(tmp_path), images=[path])
    assert "has no map of a" in outcome.result.reason


def test_particles_have_to_come_from_somewhere(tmp_path):
    write_field(tmp_path, "a")
    with pytest.raises(InputError, match="nothing says where the particles are"):
        classified(tmp_path, PredictOptions())
    with pytest.raises(InputError, match="--instances and --threshold: give one of them"):
        validate({"instances": tmp_path, "threshold": "bright"}, PredictOptions, "options")


def test_a_threshold_finds_discs_and_not_noise():
    rng = np.random.default_rng(0)
    numbers = discs()
    image = np.where(numbers > 0, 170, 70) + rng.normal(0, 15, numbers.shape)
    assert len(by_threshold(image.clip(0, 255).astype(np.uint8), "bright")) == 3
    assert len(by_threshold((255 - image).clip(0, 255).astype(np.uint8), "dark")) == 3
    noise = rng.normal(100, 15, (80, 100)).clip(0, 255).astype(np.uint8)
    assert len(by_threshold(noise, "bright")) == 0
    assert len(by_threshold(np.full((20, 20), 7, np.uint8), "bright")) == 0
    ramp = np.tile(np.linspace(20, 220, 100), (80, 1)).astype(np.uint8)
    assert len(by_threshold(ramp, "bright")) == 0


def test_numbers_of_the_map_are_kept():
    found = of_instances(np.array([[0, 7, 7, 0], [0, 7, 7, 0], [3, 0, 0, 900], [0, 0, 900, 900], [0, 900, 900, 900]]))
    assert found.names.tolist() == [7, 900] and sorted(np.unique(found.numbers)) == [0, 1, 2]  # 3 is a speck


def test_fields_of_a_sample_are_counted_together(tmp_path):
    for name in "abc":
        write_field(tmp_path, name)
    outcomes = classified(tmp_path, options_of(tmp_path), sample="filter-7")
    shares, _ = sample_shares([o.result for o in outcomes], CLASSES)
    large = next(s for s in shares if s.by == "number" and s.name == "large")
    weight = lambda across: 79 * 99 / ((79 - across) * (99 - across))  # ISO 13322-1, discs 13, 25 and 19 across
    share = 1 - weight(13) / (weight(13) + weight(25) + weight(19))
    assert large.sample == "filter-7" and large.count == 6 and large.share == pytest.approx(share)
    assert next(s for s in shares if s.by == "area" and s.name == "large").share == pytest.approx(694 / 807, abs=0.01)


def test_fields_with_and_without_scale_have_shares_by_number_alone(tmp_path):
    write_field(tmp_path, "a")
    plain = the(classified(tmp_path, options_of(tmp_path)))
    scaled = plain.model_copy(update={"unit": "um", "pixel_size_um": 0.5})
    shares, warnings = sample_shares([plain.model_copy(update={"sample": "s"}), scaled.model_copy(
        update={"sample": "s"})], CLASSES)  # fmt: skip
    assert {s.by for s in shares} == {"number"} and "shares by number only" in warnings[0]


def test_tables_and_page_are_made_of_records(tmp_path):
    write_field(tmp_path, "a")
    table = spectra_table(
        tmp_path, [{"image": "a", "instance": 1, "file": emsa(tmp_path, "fe.msa", spectrum_of({"Fe": 1.0}))}]
    )
    record = the(classified(tmp_path, options_of(tmp_path, spectra=table), BySize(axis=AXIS)))
    shares, _ = sample_shares([record], CLASSES)
    out = tmp_path / "out"
    batch = ClassifiedRecord(images=("a",), classes=CLASSES, shares=tuple(shares),
                             failures=(Failure(source="b.png", reason="broken"),))  # fmt: skip
    write_folder(out, batch, [record])
    table_of = lambda name: list(csv.DictReader((out / name).read_text().splitlines()))
    rows = table_of("particles.csv")
    assert [row["class"] for row in rows] == [p.name for p in record.particles]
    assert float(rows[0]["intensity_share_Fe"]) > 0.9 and rows[1]["intensity_share_Fe"] == ""
    assert {row["by"] for row in table_of("shares.csv")} == {"number", "area", "volume"}
    assert json.loads((out / "classified.json").read_text())["failures"][0]["reason"] == "broken"
    write_particle_page(tmp_path / "page.html", out)
    page = (tmp_path / "page.html").read_text()
    assert "b.png: broken" in page and "Class shares by number" in page and "not concentrations" in page
    assert "Spectra of all fields together" in page and "<b>large</b>: one particle" in page  # iron is large here
