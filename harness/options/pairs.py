"""The options of the verb `pairs`: every key, its type, default and meaning."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.options.fields import Scope, option, required, whole
from harness.options.parsers import Auto, Choice, Device, Number, Text, WholeNumber


class PairsOptions(BaseModel):
    """Everything that a set of sampled pairs depends on; frozen, complete, every default filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    precision: ClassVar[str] = "auto"  # completions to learn from need no more than training has

    to: Annotated[str, BeforeValidator(Text())] = required(
        "the suite file to write, ending in .jsonl", scope=Scope.MACHINE, example="my_pairs.jsonl"
    )
    suite: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None,
        "a suite whose prompts are answered: a name of `list suites`, or a file",
        shown="none",
        scope=Scope.DATA,
        example="hh-rlhf",
    )
    prompts: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None, "or a file of prompts: a column prompt, text or messages", shown="none", scope=Scope.DATA
    )
    count: Annotated[int, whole(1)] = option(
        512, "prompts that are answered, in hash order; fewer if there are fewer", scope=Scope.DATA
    )
    n: Annotated[int, whole(2)] = option(4, "completions of each prompt", scope=Scope.EVALUATION)
    score: Annotated[str, BeforeValidator(Text())] = option(
        "gold",
        "what rates a completion: gold (the suite's own reward), gold:SUITE, or implicit:CELL, a trained cell's "
        "policy minus reference log-prob",
        scope=Scope.EVALUATION,
    )
    keep: Annotated[str, BeforeValidator(Choice(("best_worst", "all")))] = option(
        "best_worst",
        "the best against the worst completion, or all pairs of completions that are rated differently",
        scope=Scope.EVALUATION,
    )
    model: Annotated[str, BeforeValidator(Text())] = option(
        "smollm2-135m",
        "who answers: a name of `list models`, a folder, or a hub id",
        scope=Scope.GRID,
        example="my-dpo-model",
    )
    model_revision: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None, "commit or branch of a hub model; auto = its newest", shown="auto", scope=Scope.GRID
    )
    template: Annotated[str, BeforeValidator(Choice(("auto", "chat", "plain")))] = option(
        "auto", "how a prompt becomes text; auto = the tokenizer's chat template, else plain", scope=Scope.DATA
    )
    max_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(8)))] = option(
        None, "limit for prompt and one completion; auto = the model entry's", shown="auto", scope=Scope.DATA
    )
    max_new_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = option(
        None, "limit of one completion; auto = the sampled suite's own, else 64", shown="auto", scope=Scope.EVALUATION
    )
    temperature: Annotated[float, BeforeValidator(Number(above=0))] = option(
        1.0, "of the completions", scope=Scope.EVALUATION
    )
    top_p: Annotated[float, BeforeValidator(Number(above=0, maximum=1))] = option(
        1.0, "draw each token from the likeliest ones that together have this probability", scope=Scope.EVALUATION
    )
    seed: Annotated[int, whole(0, 2**31 - 1)] = option(0, "of the completions' random numbers", scope=Scope.EVALUATION)
    device: Annotated[str, BeforeValidator(Device())] = option("auto", "where the model runs", scope=Scope.MACHINE)
    threads: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1, 1024)))] = option(
        None, "CPU threads", shown="auto", scope=Scope.COMPUTATION
    )
    suite_settings: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_together(self) -> PairsOptions:
        problems = []
        if (self.suite is None) == (self.prompts is None):
            seen = "both" if self.suite else "neither"
            problems.append(f"pairs answers the prompts of suite= or of prompts=; given: {seen}. Give one of them")
        if not self.to.endswith(".jsonl"):
            problems.append(f"to={self.to}: a suite file ends in .jsonl")
        if self.score == "gold" and self.suite is None:
            problems.append("score=gold is the reward of suite=, and there is none; write score=gold:SUITE")
        if problems:
            raise ValueError("\n".join(problems))
        return self
