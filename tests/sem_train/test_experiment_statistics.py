import math
from dataclasses import replace

import numpy as np
import pytest
from fake_experiment import ASKED, NAMES, counts_of, experiment, result
from scipy.stats import binom, permutation_test, ttest_1samp

from benchmarks.experiment_statistics import SPREADS, Layout, coverage, coverage_with_luck, false_alarms
from sem_train.experiments.analysis import analyse, corrected
from sem_train.experiments.intervals import by_specimen, error_over_trainings, interval, p_over_trainings
from sem_train.experiments.permutation import holm, joint_sign_flips, sign_flip_p, smallest_p
from sem_train.experiments.power import detectable_difference, power, specimens_needed
from sem_train.experiments.quantities import quantities
from sem_train.experiments.verdict import answer, overall, verdicts, warnings


@pytest.fixture(scope="module")
def whole():
    """Of a fake experiment with three arms, three numbers of real images, three seeds and nine specimens."""
    return analyse(experiment(), NAMES, "real_only", ASKED)


def values(rows):
    return {q.name: q.value(rows) for q in quantities(NAMES, rows, NAMES[1:])}


def pairs(reference, mixed, **settings):
    """Results of two arms with these IoUs of oxide, each on a specimen and under a model of its own; without cracks."""
    return [result(arm, f"s{i}", x, cracked=False, fold=i, **settings) for arm, all_ in
            (("real_only", reference), ("mixed", mixed)) for i, x in enumerate(all_)]  # fmt: skip


def difference(results, quantity="iou_oxide", arm="mixed", asked="all", **settings):
    found = analyse(results, NAMES, "real_only", settings.pop("order", ASKED), **settings)
    return found.difference(arm, asked, quantity)


# --- quantities


def test_overlaps_pool_pixels():
    found = values([result("a", "s", 0.9, 0.5), result("a", "t", 0.7, 0.2)])
    wrong = [36_000 * (1 - x) / (1 + x) for x in (0.9, 0.7)]
    right = 72_000 - sum(wrong)
    assert found["iou_oxide"] == pytest.approx(right / (right + 2 * sum(wrong)), abs=1e-4)
    assert found["dice_oxide"] == pytest.approx(right / (right + sum(wrong)), abs=1e-4)
    assert found["mean_iou"] == pytest.approx(np.mean([found[f"iou_{name}"] for name in NAMES]))


def test_a_class_that_is_not_there_has_no_overlap_whatever_is_guessed():
    without = result("a", "s", 0.9, cracked=False)
    counts = np.array(without.score.counts)
    counts[1, 2] += 50  # called crack
    guessed = replace(without, score=replace(without.score, counts=counts.tolist()))
    for rows in ([without], [guessed]):
        found = values(rows)
        assert math.isnan(found["iou_crack"])
        assert found["mean_iou"] == pytest.approx((found["iou_background"] + found["iou_oxide"]) / 2)


def test_errors_are_means_of_sizes_and_bias_keeps_signs():
    found = values([result("a", "s", 0.9, thickness=3.0), result("a", "t", 0.9, thickness=-1.0)])
    assert found["thickness_error_px_oxide"] == pytest.approx(2)
    assert found["thickness_bias_px_oxide"] == pytest.approx(1)
    assert found["area_error_points_crack"] == pytest.approx(0.5)
    assert found["unmeasured_oxide"] == 0


def test_a_layer_that_is_not_found_counts_as_such_and_not_as_an_error():
    found = values([result("a", "s", 0.9, thickness=3.0), result("a", "t", 0.9, found=False)])
    assert found["thickness_error_px_oxide"] == pytest.approx(3)
    assert found["unmeasured_oxide"] == pytest.approx(50)


def test_the_answer_is_made_of_the_mean_and_of_what_is_sought():
    rows = [result("a", "s", 0.9)]
    primary = lambda sought: [q.name for q in quantities(NAMES, rows, sought) if q.primary]
    assert primary(NAMES[1:]) == ["mean_iou", "iou_oxide", "iou_crack"]
    assert primary(["crack"]) == ["mean_iou", "iou_crack"]


# --- intervals


def test_specimens_count_alike_however_many_trainings_they_have():
    table = np.array([[1.0, 3.0, np.nan], [np.nan, np.nan, 7.0], [np.nan] * 3])
    np.testing.assert_array_equal(by_specimen(table), [2, 7, np.nan])


def test_an_interval_needs_four_specimens():
    table = np.array([[1.0], [2.0], [3.0], [np.nan]])
    assert all(math.isnan(x) for x in interval(table, [0]))
    table[3] = 4.0
    low, high = interval(table, [0])
    assert low < 2.5 < high


def test_specimens_that_agree_leave_no_doubt():
    assert interval(np.full((5, 1), 0.1), [0]) == (pytest.approx(0.1), pytest.approx(0.1))


def test_one_specimen_apart_from_all_others_still_gives_bounds():
    low, high = interval(np.array([[0.0]] * 8 + [[9.0]]), [0])
    # Student's interval: mean 1, standard error 1, t of 8 degrees of freedom
    assert (low, high) == (pytest.approx(1 - 2.306, abs=1e-3), pytest.approx(1 + 2.306, abs=1e-3))


def test_intervals_move_and_grow_with_the_values():
    rng = np.random.default_rng(3)
    table = rng.normal(size=(9, 1))
    low, high = interval(table, [0])
    assert interval(5 + 2 * table, [0]) == (pytest.approx(5 + 2 * low), pytest.approx(5 + 2 * high))
    assert interval(-table, [0]) == (pytest.approx(-high, rel=0.05), pytest.approx(-low, rel=0.05))


def test_trainings_that_differ_widen_the_interval():
    own = np.linspace(-1, 1, 9)[:, None]
    calm, moody = own + np.zeros(3), own + np.array([-2.0, 0.0, 2.0])
    np.testing.assert_allclose(by_specimen(calm), by_specimen(moody))
    widths = [high - low for low, high in (interval(table, [0, 0, 0]) for table in (calm, moody))]
    assert widths[1] > 2 * widths[0]


def least(repetitions, share):
    """The lowest share that a true share is seen as in all but one of 1,000 simulations."""
    return binom.ppf(1e-3, repetitions, share) / repetitions


@pytest.mark.parametrize(("spread", "specimens", "share"), [
    ("normal", 5, 0.94), ("normal", 9, 0.94), ("normal", 20, 0.94), ("skewed (exponential)", 5, 0.91),
    ("skewed (exponential)", 9, 0.92), ("skewed (exponential)", 20, 0.93),
])  # fmt: skip
def test_intervals_hold_the_true_mean(spread, specimens, share):
    assert set(SPREADS) >= {spread}
    assert coverage(spread, specimens, 400, np.random.default_rng(1)) >= least(400, share)


@pytest.mark.parametrize(("layout", "luck"), [(Layout(), 2.0), (Layout(seeds=1), 2.0), (Layout(40, 1, 3), 1.0)])
def test_intervals_hold_the_true_mean_also_when_trainings_are_chance(layout, luck):
    # specimens taken for independent: 0.81, 0.74 and less
    assert coverage_with_luck(layout, luck, 300, np.random.default_rng(1)) >= least(300, 0.94)


# --- tests


@pytest.mark.parametrize(
    ("differences", "expected"),
    # worked out by hand: the sums over all signs that are as far from zero as the one seen
    [([1, 2, 3, 4, 5], 2 / 32), ([1, 2, 3, -1], 6 / 16), ([1, -1], 1), ([3, 1, -1], 6 / 8), ([0, 0, 0], 1), ([2], 1)],
)
def test_p_values_worked_out_by_hand(differences, expected):
    assert sign_flip_p(np.array(differences, dtype=float)) == pytest.approx(expected)


def test_p_values_do_not_ask_for_the_unit_or_the_sign():
    d = np.array([0.3, -0.1, 0.2, 0.5, 0.1, -0.05])
    assert sign_flip_p(d) == sign_flip_p(-1000 * d)


def test_many_differences_are_drawn_and_not_enumerated():
    d = np.random.default_rng(0).normal(0.3, 1, 40)
    assert sign_flip_p(d) == pytest.approx(ttest_1samp(d, 0).pvalue, abs=0.01)


def test_p_values_as_scipy_has_them():
    d = np.array([0.31, -0.12, 0.2, 0.55, 0.14, -0.07, 0.02])
    theirs = permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert sign_flip_p(d) == pytest.approx(theirs)


@pytest.mark.parametrize("count", [1, 2, 5, 9, 13, 20])
def test_smallest_p_is_that_of_specimens_of_one_mind(count):
    assert sign_flip_p(np.ones(count)) == pytest.approx(smallest_p(count), rel=0.01)


def test_holm_against_a_published_example():
    # the example of the article on the Holm-Bonferroni method: H1 and H4 are rejected at 0.05, H2 and H3 are not
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.6, math.nan, 0.7])[0] == 1 and math.isnan(holm([0.6, math.nan, 0.7])[1])


def test_flips_of_all_comparisons_at_once():
    one = np.array([1.0, 2, 3, 4, 5])
    assert joint_sign_flips([one]) == [sign_flip_p(one)]
    # the same comparison twice is paid for once; Holm would double it
    assert joint_sign_flips([one, 3 * one]) == pytest.approx([2 / 32, 2 / 32])
    other = np.array([1.0, -2, 3, -4, 5])
    first, second = joint_sign_flips([one, other])
    assert 2 / 32 < first <= holm([sign_flip_p(one), sign_flip_p(other)])[0] and second >= sign_flip_p(other)


def test_trainings_are_one_observation_each():
    # seeds of one fold, tested on the same specimens: Student's test of the means of the seeds
    table = np.array([[0.1], [0.2], [0.0], [0.3]]) + np.array([0.0, 0.02, -0.01])
    means = table.mean(axis=0)
    assert p_over_trainings(table) == pytest.approx(ttest_1samp(means, 0).pvalue)
    error, trainings = error_over_trainings(table)
    assert error == pytest.approx(means.std(ddof=1) / math.sqrt(3)) and trainings == 3
    assert math.isnan(p_over_trainings(table[:, :1]))


def test_folds_of_unequal_size_are_no_spread():
    table = np.full((5, 2), np.nan)
    table[:2, 0], table[2:, 1] = 0.8, 0.8
    assert error_over_trainings(table) == (pytest.approx(0, abs=1e-12), 2)


def test_few_trainings_that_disagree_are_no_answer():
    # every specimen gains, but all of it comes from one of three trainings
    table = np.linspace(0.9, 1.1, 9)[:, None] * np.array([3.0, 0.1, 0.1])
    low, high = interval(table, [0, 0, 0])
    assert low < 0 < high and p_over_trainings(table) > 0.05
    assert sign_flip_p(by_specimen(table)) == pytest.approx(2 / 2**9)


# --- power


@pytest.mark.parametrize(("effect", "published"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_specimens_needed_as_in_the_tables_of_the_paired_t_test(effect, published):
    # G*Power 3, matched pairs, two-sided, α 0.05, power 0.80
    assert specimens_needed(effect, 1.0) == published


def test_detectable_difference_is_found_in_four_of_five():
    d = detectable_difference(0.1, 9)
    assert power(d, 0.1, 9, 0.05) == pytest.approx(0.8)
    rng = np.random.default_rng(0)
    found = np.mean([sign_flip_p(rng.normal(d, 0.1, 9)) <= 0.05 for _ in range(400)])
    assert found == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 400))


def test_what_no_number_of_agreeing_specimens_can_show():
    assert math.isnan(detectable_difference(0.1, 5))  # 2 / 2^5 > 0.05
    assert math.isnan(detectable_difference(0.1, 9, comparisons=13))
    assert detectable_difference(0.1, 9, comparisons=12) > detectable_difference(0.1, 9)
    assert specimens_needed(1.0, 0.0) == 6
    assert specimens_needed(0.0, 1.0) == specimens_needed(0.001, 1.0) == math.inf


# --- differences


def test_differences_pair_specimens_and_weigh_them_alike():
    reference = [result("real_only", "a", 0.5, image=f"a{k}") for k in range(3)] + [result("real_only", "b", 0.5)]
    mixed = [result("mixed", "a", 0.6, image=f"a{k}") for k in range(3)] + [result("mixed", "b", 0.9)]
    found = difference(reference + mixed)
    assert found.by_specimen == {"a": pytest.approx(0.1, abs=1e-4), "b": pytest.approx(0.4, abs=1e-4)}
    assert found.mean == pytest.approx(0.25, abs=1e-4)
    assert math.isnan(found.low) and found.specimens == 2


def test_known_differences_are_found_with_their_exact_p():
    base = np.linspace(0.7, 0.8, 6)
    gains = np.array([0.05, 0.04, 0.06, 0.05, 0.03, 0.07])
    found = difference(pairs(base, base + gains))
    assert found.mean == pytest.approx(0.05, abs=1e-3) and found.p_specimens == pytest.approx(2 / 64)
    assert found.sd == pytest.approx(gains.std(ddof=1), rel=0.02)
    assert found.low < found.mean < found.high


def test_only_images_under_models_of_the_same_seed_are_compared():
    reference = [result("real_only", "a", 0.5, seed=s) for s in (0, 1)] + [result("real_only", "b", 0.1)]
    mixed = [result("mixed", "a", 0.7, seed=0), result("mixed", "c", 0.9)]
    analysis = analyse(reference + mixed, NAMES, "real_only", ASKED)
    found = analysis.difference("mixed", "all", "iou_oxide")
    assert found.by_specimen == {"a": pytest.approx(0.2, abs=1e-4)} and found.seeds == 1
    assert len(analysis.missing) == 2
    assert "mixed against real_only with all real: the arm lacks 2 of 4 results" in analysis.missing[0]
    assert "the reference lacks 1 of 4 results, of seed 0 and specimen c" in analysis.missing[1]


def test_an_arm_that_finds_less_does_not_gain_by_it():
    # the hard image has an error of 9 px for the reference; the arm does not find the layer there at all
    reference = [result("real_only", "a", 0.5, image="easy"), result("real_only", "a", 0.5, image="hard", thickness=9)]
    mixed = [result("mixed", "a", 0.5, image="easy"), result("mixed", "a", 0.5, image="hard", found=False)]
    assert difference(reference + mixed, "thickness_error_px_oxide").mean == 0
    assert difference(reference + mixed, "unmeasured_oxide").mean == 50


def test_specimens_without_a_class_are_left_out_of_it_and_counted(whole):
    crack, oxide = (whole.difference("mixed", "1", f"iou_{name}") for name in ("crack", "oxide"))
    assert (crack.specimens, crack.left_out) == (8, 1) and (oxide.specimens, oxide.left_out) == (9, 0)
    assert whole.estimate("mixed", "1", "iou_crack").specimens == 8


def test_an_arm_without_real_images_is_compared_at_every_number(whole):
    found = [whole.difference("synthetic", asked, "iou_oxide") for asked in ASKED]
    assert found[0].mean > 0 > found[2].mean
    assert {d.trainings for d in found} == {3}  # one training tests all specimens, so they share its luck


def test_a_family_is_all_comparisons_of_a_quantity(whole):
    family = [d for d in whole.differences if d.quantity == "mean_iou"]
    assert len(family) == 6 and {d.comparisons for d in family} == {6}
    assert [d.p_corrected for d in family] == pytest.approx(holm([d.p for d in family]))
    explains = whole.difference("mixed", "1", "dice_oxide")
    assert math.isnan(explains.p_corrected) and explains.comparisons == 0


def test_baselines_are_a_family_of_their_own(whole):
    mine = [d for d in whole.differences if d.quantity == "mean_iou"]
    apart = corrected(mine, whole.quantities, ["synthetic"], "holm")
    assert {d.comparisons for d in apart} == {3}
    for arm in ("mixed", "synthetic"):
        family = [d for d in apart if d.arm == arm]
        assert [d.p_corrected for d in family] == pytest.approx(holm([d.p for d in family]))


def test_levels_of_arms():
    overlaps = {"a": 0.6, "b": 0.7, "c": 0.8, "d": 0.9}
    results = [result("real_only", s, x, seed=seed) for seed in (0, 1) for s, x in overlaps.items()]
    found = analyse(results, NAMES, "real_only", ASKED).estimate("real_only", "all", "iou_oxide")
    assert found.mean == pytest.approx(0.75, abs=1e-4) and found.sd_trainings == 0
    assert found.pooled == pytest.approx(values(results)["iou_oxide"]) and (found.specimens, found.images) == (4, 8)


# --- verdict


def test_a_difference_that_is_there_helps_or_hurts():
    base = np.linspace(0.7, 0.8, 9)
    gains = np.linspace(0.03, 0.05, 9)
    for sign, expected, word in ((1, "helps", "higher"), (-1, "hurts", "lower")):
        analysis = analyse(pairs(base, base + sign * gains), NAMES, "real_only", ASKED)
        verdict = verdicts(analysis, "iou_oxide")[0]
        assert verdict.answer == expected
        assert f"with all real images: {expected}; IoU of oxide is {word} by 0.040 (95 % interval" in verdict.sentence
        assert "corrected p 0.004; 9 specimens, 1 seed)" in verdict.sentence
        assert f"mixed {expected}." in overall(analysis)


def test_where_less_is_better_less_helps():
    results = [result(arm, f"s{i}", 0.8, fold=i, thickness=error + 0.1 * i) for i in range(9)
               for arm, error in (("real_only", 5.0), ("mixed", 3.0))]  # fmt: skip
    found = analyse(results, NAMES, "real_only", ASKED)
    error = found.difference("mixed", "all", "thickness_error_px_oxide")
    assert error.mean == pytest.approx(-2)
    assert answer(replace(error, p_corrected=0.01), found.quantity("thickness_error_px_oxide")) == "helps"
    assert answer(error, found.quantity("thickness_error_px_oxide")) == "cannot be told"  # not tested, so not told


def test_what_cannot_be_told_says_what_it_would_take():
    base = np.linspace(0.7, 0.8, 9)
    gains = np.array([0.05, -0.03, 0.02, -0.01, 0.04, -0.02, 0.03, 0.0, 0.01])
    analysis = analyse(pairs(base, base + gains), NAMES, "real_only", ASKED)
    d, verdict = analysis.difference("mixed", "all", "iou_oxide"), verdicts(analysis, "iou_oxide")[0]
    assert verdict.answer == "cannot be told"
    assert f"{specimens_needed(d.mean, d.sd) - 9:.0f} more would show it in four of five" in verdict.sentence
    assert f"A true difference of {detectable_difference(d.sd, 9):.3f} would have been found" in verdict.sentence


def test_sentences_name_what_they_rest_on_and_never_say_significant(whole):
    text = " ".join([overall(whole), *(v.sentence for v in verdicts(whole))])
    assert "mixed helps with 1 and 4 and cannot be told with all" in text
    assert "synthetic is better with 1, is worse with all and cannot be told with 4" in text
    assert "synthetic, without real images, against real_only with 1 real image: is better" in text
    assert "significan" not in text and "9 specimens, 3 seeds" in text


def test_warnings_name_what_makes_answers_weak(whole):
    results = pairs([0.5] * 5, [0.6, 0.61, 0.62, 0.63, 0.64])
    few = analyse(results, NAMES, "real_only", ASKED, missing=["mixed-1-fold0"])
    said = " | ".join(warnings(few))
    assert "5 specimens only" in said and "not complete: mixed-1-fold0" in said
    assert "one seed: the luck of trainings is known from 5 of them only" in said
    assert "mean IoU: 1 comparison of networks on 5 specimens cannot answer anything" in said
    assert "even if every specimen agreed, the corrected p would be 0.062" in said
    assert "IoU of crack: 5 specimens without that class left out" in said
    assert verdicts(few, "iou_oxide")[0].answer == "cannot be told"
    assert warnings(whole) == ["IoU of crack: 1 specimen without that class left out"]


def test_a_single_training_tells_nothing():
    base = np.linspace(0.7, 0.8, 9)
    results = [replace(r, fold=0) for r in pairs(base, base + np.linspace(0.09, 0.1, 9))]
    analysis = analyse(results, NAMES, "real_only", ASKED)
    assert verdicts(analysis, "iou_oxide")[0].answer == "cannot be told"
    assert "It takes more than one training to tell." in verdicts(analysis, "iou_oxide")[0].sentence
    assert any("one seed and one fold" in warning for warning in warnings(analysis))


def test_where_trainings_disagree_more_seeds_are_asked_for():
    rows = []
    for seed, gain in enumerate((0.09, 0.005, 0.004)):
        for i, x in enumerate(np.linspace(0.7, 0.8, 9)):
            rows += [result("real_only", f"s{i}", x, seed=seed), result("mixed", f"s{i}", x + gain, seed=seed)]
    verdict = verdicts(analyse(rows, NAMES, "real_only", ASKED), "iou_oxide")[0]
    assert verdict.answer == "cannot be told" and "more seeds would help most" in verdict.sentence


def test_too_many_comparisons_are_warned_of_unless_they_are_flipped_together():
    base = np.linspace(0.7, 0.8, 6)
    results = pairs(base, base + np.linspace(0.03, 0.05, 6))
    arms = [replace(r, arm=f"mixed{k}") for k in range(2) for r in results if r.arm == "mixed"]
    holmed, joint = (analyse([*results[:6], *arms], NAMES, "real_only", ASKED, correction=c) for c in ("holm", "max_t"))
    assert "2 comparisons of networks on 6 specimens cannot answer anything" in " ".join(warnings(holmed))
    assert {v.answer for v in verdicts(holmed, "iou_oxide")} == {"cannot be told"}
    assert "cannot answer" not in " ".join(warnings(joint))
    assert {v.answer for v in verdicts(joint, "iou_oxide")} == {"helps"}


def test_nothing_to_compare_is_said():
    alone = analyse(pairs([0.5], [])[:1], NAMES, "real_only", ASKED)
    assert overall(alone).startswith("Nothing can be told yet")
    assert warnings(alone) == ["nothing to compare with real_only yet"]
    assert overall(analyse([], NAMES, "real_only", ASKED)).startswith("Nothing can be told yet")


def test_where_there_is_no_difference_one_is_rarely_seen():
    """Of experiments with six comparisons, trainings as variable as specimens, 5 % at most may see any difference."""
    seen = false_alarms(Layout(), 1.0, 6, 100, np.random.default_rng(2))
    assert seen <= binom.isf(1e-3, 100, 0.05) / 100  # a true 5 % stays below in all but one of 1,000 simulations


def test_counts_of_the_fake_are_what_they_claim():
    found = values([result("a", "s", 0.83, 0.37)])
    assert found["iou_oxide"] == pytest.approx(0.83, abs=1e-4) and found["iou_crack"] == pytest.approx(0.37, abs=1e-3)
    assert np.sum(counts_of(0.83, 0.37), axis=1).tolist()[1:] == [36_000, 4_000]
