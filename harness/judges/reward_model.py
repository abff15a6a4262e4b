"""`rm:MODEL`: a sequence-classification reward model with one output, from a folder or the hub.

Its own chat template, or the plain transcript where it has none; safetensors only, and no code of the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from harness.data.tokens import plain_text
from harness.judges.protocol import JudgeError
from harness.judges.scored import ScoreJudge
from harness.model.sources import Source, find, load_tokenizer
from harness.options.judges import JudgeSettings
from suites import Message


def reward_model_judge(name: str, settings: JudgeSettings) -> ScoreJudge:
    """Prefers the completion with the higher reward.

    Raises: UsageError for a model that is not there, JudgeError for one that is no reward model.
    """
    source = find(name)
    scorer = RewardModel(source, settings)
    return ScoreJudge(f"rm:{name}@{source.digest[:12]}-{settings.max_tokens}", scorer.score)


class RewardModel:
    """Prompts and completions -> rewards, in fp32, without gradient."""

    def __init__(self, source: Source, settings: JudgeSettings) -> None:
        from transformers import AutoConfig, AutoModelForSequenceClassification

        config = AutoConfig.from_pretrained(source.folder)
        kind = (config.architectures or ["none"])[0]
        if config.num_labels != 1 or "SequenceClassification" not in kind:
            raise JudgeError(
                f"judge rm:{source.name}: it is a {kind} with {config.num_labels} outputs, but a reward model here is "
                "a ...ForSequenceClassification with num_labels=1"
            )
        self.settings = settings
        self.tokenizer = load_tokenizer(source)
        self.model = (
            AutoModelForSequenceClassification.from_pretrained(source.folder, dtype=torch.float32, use_safetensors=True)
            .to(settings.device)
            .eval()
        )
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        # The reward is read at the last token that is no padding, which the model finds by this id.
        self.model.config.pad_token_id = self.tokenizer.pad_token_id

    @torch.no_grad()
    def score(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """One reward a completion, whatever it is batched with; sorted by length, `batch_size` at a time."""
        rows = [self._ids(prompt, completion) for prompt, completion in zip(prompts, completions, strict=True)]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        rewards = [float("nan")] * len(rows)
        for start in range(0, len(order), self.settings.batch_size):
            chunk = order[start : start + self.settings.batch_size]
            for place, reward in zip(chunk, self._rewards([rows[i] for i in chunk]), strict=True):
                rewards[place] = reward
        return rewards

    def _rewards(self, rows: Sequence[Sequence[int]]) -> list[float]:
        longest, pad = max(map(len, rows)), self.tokenizer.pad_token_id
        device = self.settings.device
        ids = torch.tensor([[*row, *[pad] * (longest - len(row))] for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
        return self.model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()

    def _ids(self, prompt: str, completion: str) -> list[int]:
        """The conversation's token ids; too long a one loses its beginning."""
        tokenizer: Any = self.tokenizer
        if getattr(tokenizer, "chat_template", None):
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            ids = tokenizer(f"{plain_text((Message('user', prompt),))} {completion.strip()}")["input_ids"]
        return ids[-self.settings.max_tokens :]
