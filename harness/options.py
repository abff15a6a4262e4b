"""The options of a run: every key, its type, default and meaning, in one place.

Built from command-line words by `names.read_options`, from text by `option_cards.make`, or in Python:
`Options(suite="hh-rlhf", losses=["dpo"])`. Values are checked here one by one and against each other; whether
a named loss or suite exists is checked in names.py, because that needs their packages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.values import Auto, Choice, Device, Flag, Number, Several, Text, WholeNumber
from harness.words import AXIS, LIST, SCALAR


class UsageError(ValueError):
    """What the user asked for cannot be done; `messages` holds one sentence for each problem."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = list(messages)


def _option(default: Any, meaning: str, kind: str = SCALAR, shown: str | None = None) -> Any:
    """A field; `shown` replaces a default that is not a value the user could type."""
    return Field(default, description=meaning, json_schema_extra={"kind": kind, "shown": shown})


def _required(meaning: str, kind: str = SCALAR) -> Any:
    return Field(description=meaning, json_schema_extra={"kind": kind, "shown": "required"})


def _whole(minimum: int, maximum: int | None = None) -> BeforeValidator:
    return BeforeValidator(WholeNumber(minimum, maximum))


def _check_loss_settings(value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Per-loss values: learning rates and beta above 0, others finite, or the word grid for either."""
    checked: dict[str, dict[str, Any]] = {}
    problems = []
    for loss, settings in value.items():
        for key, text in settings.items():
            positive = key in ("lrs", "beta")
            try:
                parsed = Several(Number(above=0) if positive else Number(), grid=True)(text)
                checked.setdefault(loss, {})[key] = parsed
            except ValueError as error:
                problems.append(f"{loss}.{key}: {error}; write {loss}.{key}=VALUE,VALUE or {loss}.{key}=grid")
    if problems:
        raise ValueError("\n".join(problems))
    return checked


Names = tuple[str, ...]
Numbers = tuple[float, ...]
Positive = BeforeValidator(Number(above=0))
PositiveOrGrid = BeforeValidator(Several(Number(above=0), grid=True))


class Options(BaseModel):
    """Everything a run depends on; frozen, complete, every default filled in.

    `model_fields_set` holds the names that were given explicitly.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # what is compared
    suite: Annotated[str, BeforeValidator(Text())] = _required(
        "where the preferences come from: a name of `list suites`, or a .jsonl, .json, .csv or .parquet file"
    )
    losses: Annotated[Names, BeforeValidator(Several(Text()))] = _required(
        "the losses to compare; a weighted sum is written dpo+0.2*sft", AXIS
    )
    model: Annotated[str, BeforeValidator(Text())] = _option(
        "smollm2-135m", "a name of `list models`, a folder, or a hub id"
    )
    model_revision: Annotated[str | None, BeforeValidator(Auto(Text()))] = _option(
        None, "commit or branch of a hub model; auto = its newest", shown="auto"
    )
    plugins: Annotated[Names, BeforeValidator(Several(Text()))] = _option(
        (), "files or modules that register losses of your own", LIST, shown="none"
    )
    # the grid
    betas: Annotated[Numbers | Literal["grid"] | None, PositiveOrGrid] = _option(
        None, "strengths, for every loss that has one; none given: each loss's default", AXIS, shown="by loss"
    )
    lrs: Annotated[Numbers | Literal["grid"] | None, PositiveOrGrid] = _option(
        None,
        "learning rates, used as given; none given: the model's, times the loss's lr_scale, times 10 under "
        "LoRA; grid: three around that",
        AXIS,
        shown="by loss",
    )
    seeds: Annotated[tuple[int, ...], BeforeValidator(Several(WholeNumber(0, 2**31 - 1)))] = _option(
        (0,), "draw and order of the training rows, LoRA's initialisation; claims need three or more", AXIS
    )
    controls: Annotated[bool, BeforeValidator(Flag())] = _option(
        True, "also run `none` (untrained) and `sft` (chosen answers only)"
    )
    # the data
    train_pairs: Annotated[int, _whole(1)] = _option(512, "training pairs")
    eval_pairs: Annotated[int, _whole(1)] = _option(256, "validation pairs, and as many test pairs")
    max_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(8)))] = _option(
        None, "limit for prompt and one answer; auto = the model entry's", shown="auto"
    )
    template: Annotated[str, BeforeValidator(Choice(("auto", "chat", "plain")))] = _option(
        "auto", "how a prompt becomes text; auto = the tokenizer's chat template, else plain"
    )
    overlong: Annotated[str, BeforeValidator(Choice(("drop", "truncate")))] = _option(
        "drop", "rows beyond max_tokens: drop them, or cut the prompt from the left, then the answer"
    )
    # training
    batch_size: Annotated[int, _whole(1)] = _option(16, "pairs in one optimizer step")
    epochs: Annotated[int, _whole(1)] = _option(1, "passes over the training pairs")
    weight_decay: Annotated[float, BeforeValidator(Number(minimum=0))] = _option(0.0, "AdamW's weight decay")
    warmup: Annotated[float, BeforeValidator(Number(minimum=0, below=1))] = _option(
        0.1, "share of the steps in which the learning rate rises from zero"
    )
    clip: Annotated[float, Positive] = _option(1.0, "largest norm of a gradient; a longer one is scaled down")
    lr_schedule: Annotated[str, BeforeValidator(Choice(("cosine", "linear", "constant")))] = _option(
        "cosine", "the learning rate's way down after the warm-up"
    )
    start: Annotated[str, BeforeValidator(Choice(("model", "sft")))] = _option(
        "model", "starting weights: the model's, or first tuned on chosen answers, once for all cells"
    )
    tuning: Annotated[str, BeforeValidator(Choice(("full", "lora")))] = _option(
        "full", "train all weights, or a LoRA adapter"
    )
    lora_rank: Annotated[int, _whole(1)] = _option(16, "rank of the adapter")
    lora_alpha: Annotated[int, _whole(1)] = _option(32, "scale of the adapter, relative to its rank")
    precision: Annotated[str, BeforeValidator(Choice(("auto", "fp32", "bf16")))] = _option(
        "auto", "arithmetic of training; evaluation is always fp32"
    )
    evals: Annotated[int, _whole(1)] = _option(1, "evaluations within a run, the last at its end")
    judge: Annotated[str, BeforeValidator(Choice(("none",)))] = _option(
        "none", "who judges generated answers"
    )
    # the machine
    device: Annotated[str, BeforeValidator(Device())] = _option("auto", "where the model runs")
    threads: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = _option(
        None, "CPU threads", shown="auto"
    )
    workers: Annotated[int | None, BeforeValidator(Auto(WholeNumber(0)))] = _option(
        None, "processes that run cells; auto = one a GPU, else one; 0 = in the command's own process", shown="auto"
    )
    layout: Annotated[str, BeforeValidator(Choice(("auto", "packed", "shared", "plain")))] = _option(
        "auto", "prompt computed once for its answers, without padding (packed) or with it (shared), or once for "
        "each (plain); the fastest that agrees with the model's own logits"
    )
    micro_batch: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = _option(
        None, "pairs in one forward pass; changes memory and speed, never a gradient", shown="auto"
    )
    micro_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = _option(
        None, "tokens in one forward pass where micro_batch is auto; halved when memory runs out; auto = what fits",
        shown="auto",
    )
    activation_checkpointing: Annotated[bool, BeforeValidator(Flag())] = _option(
        False, "compute each layer's activations again in the backward pass: less memory, about a third more time"
    )
    store: Annotated[bool, BeforeValidator(Flag())] = _option(
        True, "keep the reference's log-probs on disk; changes speed, never a number"
    )
    checkpoint_steps: Annotated[int, _whole(0)] = _option(
        0, "steps between checkpoints from which a killed cell goes on; 0 = none"
    )
    show: Annotated[int, _whole(0)] = _option(
        0, "only for `plan`: print so many training rows as the token ids and text that the model is given"
    )
    # what is left behind
    save: Annotated[str, BeforeValidator(Choice(("none", "best", "all")))] = _option(
        "none", "trained models to keep, as folders that from_pretrained loads"
    )
    out: Annotated[str, BeforeValidator(Text())] = _option("runs", "folder of the results")
    # settings with dotted keys
    suite_settings: dict[str, str] = Field(default_factory=dict)
    loss_settings: Annotated[dict[str, dict[str, Any]], AfterValidator(_check_loss_settings)] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Options:
        problems = []
        if self.batch_size > self.train_pairs:
            problems.append(
                f"batch_size={self.batch_size} is larger than train_pairs={self.train_pairs}, so no batch is "
                "full and nothing would be trained; lower batch_size or raise train_pairs"
            )
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            problems.append(
                f"micro_batch={self.micro_batch} is larger than batch_size={self.batch_size}; "
                f"allowed: 1 to {self.batch_size}, or auto"
            )
        if problems:
            raise ValueError("\n".join(problems))
        return self
