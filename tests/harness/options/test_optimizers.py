"""What is known of optimizers before one is made."""

from __future__ import annotations

from harness.options.cards import cards
from harness.options.optimizers import DEFAULT, OPTIMIZERS
from harness.options.run_fields import RunFields


def test_the_key_takes_the_known_names_and_stands_at_the_default():
    card = next(card for card in cards() if card.name == "optimizer")
    assert card.allowed == " | ".join(OPTIMIZERS) and card.default == DEFAULT
    assert RunFields.model_fields["optimizer"].default in OPTIMIZERS


def test_adamw_keeps_two_moments_in_fp32():
    assert OPTIMIZERS["adamw"].state_bytes == 2 * 4
