"""Particles: what the frame hides is weighed back in; masks and instance maps; notes where numbers are weak."""

from pathlib import Path

import numpy as np
import pytest

from sem_train.classes import ClassMap
from sem_train.config import TrainConfig
from sem_train.measure import measure_instance_map, measure_label_map
from sem_train.measure.bodies.particles import measure_particles
from semforge.errors import InputError
from semforge.settings import load_settings

CONFIGS = Path(__file__).parents[2] / "configs" / "train"
CLASSES = ClassMap(classes=[{"name": "substrate"}, {"name": "silica", "role": "particle"}])


def discs(shape, places, radii):
    """Instance map of discs; later ones lie over earlier ones."""
    objects = np.zeros(shape, dtype=np.int32)
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    for number, ((row, column), radius) in enumerate(zip(places, radii, strict=True), start=1):
        objects[(rows - row) ** 2 + (columns - column) ** 2 < radius**2] = number
    return objects


def test_two_sizes_in_a_mask_and_in_an_instance_map():
    places = [(40, 40), (40, 120), (40, 200), (120, 60), (120, 180)]
    objects = discs((200, 260), places, [10, 10, 10, 30, 30])
    for found in (measure_particles(objects > 0, 0.5), measure_particles(objects, 0.5)):
        assert found.count == found.count_whole == 5
        np.testing.assert_allclose(found.objects.ecd, [10, 10, 10, 30, 30], rtol=0.02)
        np.testing.assert_allclose(found.objects.xy, np.array(places)[:, ::-1], atol=0.1)
        assert found.sizes.by_volume[50] == pytest.approx(30, rel=0.01)
        assert found.area_percent == pytest.approx(100 * np.pi * (3 * 100 + 2 * 900) / (200 * 260), rel=0.01)
        assert found.shapes["circularity_iso"].mean == pytest.approx(1, abs=0.01)
        assert found.shapes["aspect"].number == 5
    assert "78%" in measure_particles(objects > 0, 0.5).separation
    assert measure_particles(objects, 0.5).separation == "instance map"


@pytest.mark.parametrize("radius", [5.0, 15.0, 40.0])
def test_weights_undo_the_frame(radius):
    """Laid evenly across the frame's border, particles of every size count as many as have their place in the frame."""
    height, step, total = 120, 0.25, 0.0
    for row in np.arange(-50, height + 50, step) + 0.1:
        found = measure_particles(discs((height, 200), [(row, 100)], [radius]), 1.0)
        if found.count_whole:
            across = 199 / (199 - (2 * radius - 1))  # what of the weight the other direction makes
            total += found.objects.weight[0] / across * step
    assert total == pytest.approx(height, rel=0.03)


def test_weight_in_closed_form():
    objects = np.zeros((101, 201), dtype=np.int32)
    objects[10:30, 10:60] = 1
    objects[50:60, 0:10] = 2
    found = measure_particles(objects, 1.0)
    assert found.objects.weight[0] == pytest.approx(100 * 200 / (80 * 150))
    assert np.isnan(found.objects.weight[1])
    assert np.isnan(found.objects.ecd[1])
    assert found.objects.area[1] == 100
    assert found.ecd == (pytest.approx(np.sqrt(4 * 1000 / np.pi)),)
    assert (found.count, found.count_whole) == (2, 1)
    assert found.number_density == pytest.approx(1 / (80 * 150))


def test_role_particle_of_a_label_map():
    objects = discs((200, 300), [(60, 60), (100, 200)], [20, 40])
    labels = (objects > 0).astype(np.uint8)
    field = measure_label_map(labels, CLASSES, 0.01)
    assert field.unit == "um"
    assert list(field.particles) == ["silica"]
    np.testing.assert_allclose(sorted(field.particles["silica"].objects.ecd), [0.4, 0.8], rtol=0.01)
    # a map that is taken to stand on its side gives places of the image as given
    turned = measure_label_map(np.rot90(labels).copy(), CLASSES, 0.01).particles["silica"]
    np.testing.assert_allclose(np.sort(turned.objects.xy[:, 0]), [60, 100], atol=0.1)
    np.testing.assert_allclose(np.sort(turned.objects.xy[:, 1]), [99, 239], atol=0.1)


def test_instance_map_in_micrometres():
    field = measure_instance_map(discs((200, 300), [(60, 60), (100, 200)], [20, 40]).astype(np.uint16), 0.01)
    np.testing.assert_allclose(field.particles["particle"].objects.ecd, [0.4, 0.8], rtol=0.01)
    assert field.layers == {}
    with pytest.raises(InputError, match="expected numbers"):
        measure_instance_map(np.zeros((5, 5, 3), dtype=np.uint8), None)
    with pytest.raises(InputError, match="pixel size is 0"):
        measure_instance_map(np.zeros((5, 5), dtype=np.uint8), 0.0)


def test_notes():
    large = measure_particles(discs((100, 100), [(50, 50), (8, 8)], [30, 4]), 1.0)
    assert "the frame is small" in large.note
    cut = measure_particles(discs((100, 100), [(0, 50)], [30]), 1.0)
    assert "cut by the frame, sizes not measured" in cut.note
    assert cut.sizes is None
    places = [(r, c) for r in range(30, 400, 40) for c in range(30, 400, 40)]
    radii = np.random.default_rng(1).lognormal(np.log(8), 0.25, len(places)).clip(3, 18)
    few = measure_particles(discs((430, 430), places, radii), 1.0)
    assert few.needed_number == pytest.approx((1.96 / 0.05 * np.log(few.sizes.lognormal.geometric_sd)) ** 2, abs=1.1)
    assert (f"{few.needed_number} needed" in few.note) == (few.count_whole < few.needed_number)
    assert few.needed_volume > few.needed_number


def test_no_particles():
    found = measure_particles(np.zeros((50, 60), dtype=bool), 1.0)
    assert (found.count, found.area_percent, found.number_density, found.sizes) == (0, 0.0, 0.0, None)
    assert found.shapes == {}
    assert found.neighbours.mean is None


def test_the_shipped_particle_model_is_measured_and_older_ones_still_load():
    shipped = load_settings(CONFIGS / "nanoparticles_synthetic.yaml", TrainConfig).classes
    assert [c.name for c in shipped.with_role("particle")] == ["particle"]
    before = '[{"name": "background", "values": [0]}, {"name": "particle", "role": "background", "host": null}]'
    labels = (discs((100, 100), [(50, 50)], [20]) > 0).astype(np.uint8)
    assert measure_label_map(labels, ClassMap.from_json(before), None).particles == {}
