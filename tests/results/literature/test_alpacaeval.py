"""Published judgments: synthetic files in AlpacaEval's form, measured by its formulas written out here."""

import json
import math
import random

import pytest

import results
from results.literature import alpacaeval
from results.metrics import win_rates
from results.schema.row import names
from results.schema.tables import VERDICT_COLUMNS


def entry(preference, model="x" * 8, baseline="x" * 5, **more):
    return {
        "instruction": "Why?",
        "output_1": baseline,
        "generator_1": "base",
        "dataset": "helpful_base",
        "output_2": model,
        "generator_2": "mine",
        "annotator": "some_judge",
        "preference": preference,
        "price_per_example": 0.01,
        "time_per_example": 0.5,
    } | more


def write(path, entries):
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def weighted(count, seed=0):
    """Entries in the encoding of version 2, longer answers winning more often."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        model, baseline = draw.randint(100, 3000), draw.randint(100, 3000)
        logit = 0.3 + 1.2 * math.tanh((model - baseline) / 1000) + draw.gauss(0, 1)
        found.append(entry(1 + 1 / (1 + math.exp(-logit)), "é" * model, "b" * baseline))
    return found


def test_both_encodings_become_the_same_verdicts(tmp_path):
    codes = write(tmp_path / "v1.json", [entry(code) for code in (1, 2, 0, 2.0, None, 1.5)])
    found = results.read_annotations(codes)
    assert found["preference"].fillna(-1).tolist() == [0, 1, 0.5, 1, -1, 0.5]
    assert tuple(found.columns) == (*names(VERDICT_COLUMNS), "policy")
    assert found["policy_tokens"].tolist() == [8] * 6 and found["baseline_tokens"].tolist() == [5] * 6
    assert set(found["judge"]) == {"some_judge"} and set(found["baseline"]) == {"base"}
    floats = results.read_annotations(write(tmp_path / "v2.json", [entry(1.25), entry(1.9999)]))
    assert floats["preference"].tolist() == pytest.approx([0.25, 0.9999])


def test_win_rate_and_standard_error_are_alpacaevals(tmp_path):
    entries = [*weighted(300), entry(0), entry(1.5), entry(None)]
    shares = [(1.5 if e["preference"] in (0, 1.5) else e["preference"]) - 1 for e in entries[:-1]]
    mean = math.fsum(shares) / len(shares)
    sem = math.sqrt(math.fsum((p - mean) ** 2 for p in shares) / (len(shares) - 1) / len(shares))
    found = win_rates.win_rate(results.read_annotations(write(tmp_path / "a.json", entries)))
    assert 100 * found.value == pytest.approx(100 * mean, abs=1e-9)
    assert 100 * found.se == pytest.approx(100 * sem, abs=1e-9)
    assert found.invalid == 1 and found.prompts == 302


def test_mean_length_is_in_characters_and_cut(tmp_path):
    entries = [entry(1, "é" * 10), entry(2, "ab"), entry(None, "abc" * 3)]
    table = results.read_annotations(write(tmp_path / "a.json", entries))
    assert alpacaeval.avg_length(table) == 7  # 21 / 3
    assert alpacaeval.avg_length(table.iloc[:2]) == 6
    assert alpacaeval.avg_length(table.iloc[1:]) == 5  # 11 / 2, cut


WEIGHTS_CSV = """,np.tanh(std_delta_len),instruction_difficulty,not_gamed_baseline.astype(float)
base,0,0,0
mine,-0.9,0.8,0.25
other,-0.5,0.4,-0.75
"""


def test_published_weights_and_difficulties_give_the_published_number(tmp_path):
    (tmp_path / "weights.csv").write_text(WEIGHTS_CSV)
    hardness = [math.sin(place) for place in range(40)]
    lines = "".join(f"{place},{value!r}\n" for place, value in enumerate(hardness))
    (tmp_path / "difficulty.csv").write_text("index,instruction_difficulty\n" + lines)
    table = results.read_annotations(write(tmp_path / "a.json", weighted(40)))
    difficulty = alpacaeval.read_difficulty(tmp_path / "difficulty.csv")
    for baseline, slope, constant in ((None, 0.8, 0.25), ("base", 0.8, 0.25), ("other", 0.4, 1.0)):
        weights = alpacaeval.read_weights(tmp_path / "weights.csv", "mine", baseline)
        shares = [1 / (1 + math.exp(-(slope * d + constant))) for d in hardness]
        mean = math.fsum(shares) / 40
        found = alpacaeval.published_win_rate(table, difficulty, weights)
        assert found.value == pytest.approx(mean, abs=1e-12)
        assert found.se == pytest.approx(math.sqrt(sum((p - mean) ** 2 for p in shares) / 39 / 40), abs=1e-12)


def test_a_refit_recovers_the_weights_that_made_the_verdicts(tmp_path):
    draw = random.Random(1)
    hardness = {str(place): draw.gauss(0, 1) for place in range(805)}
    lengths = [(draw.randint(200, 3000), draw.randint(200, 2500)) for _ in hardness]
    gaps = [baseline - model for model, baseline in lengths]
    centre = sum(gaps) / 805
    spread = math.sqrt(sum((gap - centre) ** 2 for gap in gaps) / 804)
    truth = alpacaeval.LengthWeights(-1.1, 0.7, 0.2)
    entries = []
    for gap, (model, baseline), hard in zip(gaps, lengths, hardness.values(), strict=True):
        logit = truth.length * math.tanh(gap / spread) + truth.difficulty * hard + truth.quality
        entries.append(entry(1 + 1 / (1 + math.exp(-logit)), "m" * model, "b" * baseline))
    table = results.read_annotations(write(tmp_path / "a.json", entries))
    refit = alpacaeval.published_win_rate(table, hardness)
    published = alpacaeval.published_win_rate(table, hardness, truth)
    assert refit.weights == pytest.approx(truth, abs=0.01)
    assert refit.value == pytest.approx(published.value, abs=5e-4)
    # Longer answers win here, and the model's are longer: equal length takes part of its wins away.
    assert win_rates.win_rate(table).value > published.value + 0.02
    without = alpacaeval.published_win_rate(table)
    assert without.value == pytest.approx(win_rates.win_rate_length_controlled(table).value, abs=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("{}", "holds no list of annotations"),
        ("[]", "holds no list of annotations"),
        (json.dumps([{"preference": 1}]), "entry 0: lacks instruction, output_1, output_2; found: preference"),
        (json.dumps([entry(1), entry(3)]), "entry 1: preference is 3; allowed are 1"),
        (json.dumps([entry(True)]), "entry 0: preference is True"),
        (json.dumps([entry(1, output_2=None)]), "entry 0: output_2 is None, but must be text"),
    ],
)
def test_a_file_of_another_form_is_refused_with_entry_and_field(content, message, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        results.read_annotations(path)


def test_weights_and_difficulties_that_do_not_fit_are_refused(tmp_path):
    table = results.read_annotations(write(tmp_path / "a.json", weighted(3)))
    (tmp_path / "weights.csv").write_text(WEIGHTS_CSV)
    weights = alpacaeval.read_weights(tmp_path / "weights.csv", "mine")
    with pytest.raises(ValueError, match="need the published difficulties"):
        alpacaeval.published_win_rate(table, weights=weights)
    with pytest.raises(ValueError, match="2 instructions have no difficulty, first '1'"):
        alpacaeval.published_win_rate(table, {"0": 0.0}, weights)
    with pytest.raises(ValueError, match="has no row 'nobody'; it has 3 models"):
        alpacaeval.read_weights(tmp_path / "weights.csv", "nobody")
    (tmp_path / "other.csv").write_text("model,a,b\nx,1,2\n")
    with pytest.raises(ValueError, match=r"lacks the columns np.tanh\(std_delta_len\)"):
        alpacaeval.read_weights(tmp_path / "other.csv", "x")
    with pytest.raises(ValueError, match="must hold an index and one column of numbers"):
        alpacaeval.read_difficulty(tmp_path / "other.csv")
    same = table.assign(policy_tokens=9, baseline_tokens=4)
    with pytest.raises(ValueError, match="cannot be fitted"):
        alpacaeval.published_win_rate(same)
