"""Gold rewards by name."""

import pytest

from suites import SuiteError, rewards


@pytest.fixture
def toy():
    made = []

    @rewards.register_reward("toy-for-rewards")
    def make():
        made.append(1)
        return object()

    yield made
    rewards._makers.pop("toy-for-rewards")
    rewards.get.cache_clear()


def test_a_reward_is_made_once(toy):
    assert rewards.get("toy-for-rewards") is rewards.get("toy-for-rewards")
    assert toy == [1]


def test_a_name_is_taken_once(toy):
    with pytest.raises(ValueError, match="already registered"):
        rewards.register_reward("toy-for-rewards")(object)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(SuiteError, match="did you mean 'imdb-sentiment'"):
        rewards.get("imdb-sentimant")
    assert "imdb-sentiment" in rewards.names()
