"""The options of a run: every key, its type, default and meaning, in one place.

Built from command-line words by `lookup.read_options`, from text by `cards.make`, or in Python:
`Options(suite="hh-rlhf", losses=["dpo"])`. Values are checked here one by one and against each other; whether
a named loss or suite exists is checked in lookup.py, because that needs their packages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from harness.options import budgets, optimizers
from harness.options import parsers as values
from harness.options.engines import EngineOptions
from harness.options.fields import Scope, option, required, whole
from harness.options.judges import parse as judge_values
from harness.options.parsers import (
    Auto,
    Choice,
    Device,
    Flag,
    Number,
    OrNone,
    Place,
    Several,
    SeveralOrNone,
    Text,
    WholeNumber,
)
from harness.options.words import AXIS, LIST

Names = tuple[str, ...]
Numbers = tuple[float, ...]
Positive = BeforeValidator(Number(above=0))
PositiveOrGrid = BeforeValidator(Several(Number(above=0), grid=True))


class RunFields(EngineOptions):
    """Everything a run depends on; frozen, complete, every default filled in.

    `model_fields_set` holds the names that were given explicitly.
    """

    # Built when a value is first read: a list of options needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    # what is compared
    suite: Annotated[str, BeforeValidator(Text())] = required(
        "where the preferences come from: a name of `list suites`, or a .jsonl, .json, .csv or .parquet file; "
        "a mixture is written NAME*0.7+NAME*0.3",
        scope=Scope.DATA,
        example="hh-rlhf",
        evaluate=True,
    )
    losses: Annotated[Names, BeforeValidator(Several(Text()))] = required(
        "the losses to compare; a weighted sum is written dpo+0.2*sft", AXIS, scope=Scope.GRID, example="dpo,ipo"
    )
    model: Annotated[str, BeforeValidator(Text())] = option(
        "smollm2-135m", "a name of `list models`, a folder, or a hub id", scope=Scope.GRID, example="my-dpo-model"
    )
    model_revision: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None, "commit or branch of a hub model; auto = its newest", shown="auto", scope=Scope.GRID
    )
    plugins: Annotated[Names, BeforeValidator(Several(Text()))] = option(
        (),
        "files or modules that register losses of your own",
        LIST,
        shown="none",
        scope=Scope.GRID,
        example="my_loss.py",
        evaluate=True,
    )
    # the grid
    betas: Annotated[Numbers | Literal["grid"] | None, PositiveOrGrid] = option(
        None,
        "values of beta, for every loss that has one; none given: each loss's default",
        AXIS,
        shown="by loss",
        scope=Scope.GRID,
        example="0.05,0.1",
    )
    lrs: Annotated[Numbers | Literal["grid"] | None, PositiveOrGrid] = option(
        None,
        "learning rates, used as given; none given: the model's, times the loss's lr_scale, times 10 under "
        "LoRA; grid: three around that",
        AXIS,
        shown="by loss",
        scope=Scope.GRID,
        example="5e-6,1e-5",
    )
    seeds: Annotated[tuple[int, ...], BeforeValidator(Several(WholeNumber(0, 2**31 - 1)))] = option(
        (0,),
        "draw and order of the training rows, LoRA's initialisation; a finding needs three or more",
        AXIS,
        scope=Scope.GRID,
        example="0,1,2",
    )
    controls: Annotated[bool, BeforeValidator(Flag())] = option(
        True, "also run `none` (untrained) and `sft` (chosen completions only)", scope=Scope.GRID
    )
    # search and confirmation
    search: Annotated[str, BeforeValidator(Choice(("none", "grid", "random", "racing")))] = option(
        "none",
        "settings tried of each loss on one seed, chosen on validation pairs: declared values (grid), points "
        "between their ends (random), or successive halving: those on few training pairs, the better half on "
        "twice as many ... (racing)",
        scope=Scope.GRID,
    )
    trials: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1, 1000)))] = option(
        None, "settings that search= tries of each loss; auto = 6", shown="auto", scope=Scope.SEARCH
    )
    search_seed: Annotated[int, whole(0, 2**31 - 1)] = option(0, "which settings search= draws", scope=Scope.SEARCH)
    claim_seeds: Annotated[
        tuple[int, ...] | None, BeforeValidator(Auto(SeveralOrNone(Several(WholeNumber(0, 9999)))))
    ] = option(
        None,
        "after a search, confirmation seeds: each loss's winner and default are trained on them and compared on "
        "test pairs; one number = so many fresh seeds, auto = 3",
        LIST,
        shown="auto",
        scope=Scope.SEARCH,
    )
    budget: Annotated[str, BeforeValidator(Choice(("none", *budgets.BUDGETS)))] = option(
        "none",
        "a search of a known size; sets, where they are not given: " + budgets.describe_presets(),
        scope=Scope.GRID,
    )
    # the data
    train_pairs: Annotated[tuple[int, ...], BeforeValidator(Several(WholeNumber(1)))] = option(
        (512,), "training pairs; a smaller number draws some of the pairs of a larger one", AXIS, scope=Scope.TRAINING
    )
    eval_pairs: Annotated[int, whole(1)] = option(
        256, "validation pairs, and as many test pairs", scope=Scope.DATA, evaluate=True
    )
    max_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(8)))] = option(
        None,
        "limit for prompt and one completion; auto = the model entry's",
        shown="auto",
        scope=Scope.DATA,
        evaluate=True,
    )
    template: Annotated[str, BeforeValidator(Choice(("auto", "chat", "plain")))] = option(
        "auto",
        "how a prompt becomes text; auto = the tokenizer's chat template, else plain",
        scope=Scope.DATA,
        evaluate=True,
    )
    overlong: Annotated[str, BeforeValidator(Choice(("drop", "truncate")))] = option(
        "drop",
        "rows beyond max_tokens: drop them, or cut the prompt from the left, then the completion",
        scope=Scope.DATA,
        evaluate=True,
    )
    # what is done to the training rows alone, whatever the suite
    label_noise: Annotated[Numbers, BeforeValidator(Several(Number(minimum=0, maximum=1)))] = option(
        (0.0,),
        "share of the training pairs whose chosen and rejected change places (of unpaired rows: whose "
        "label is reversed)",
        AXIS,
        shown="0",
        key="suite.label_noise",
        scope=Scope.TRAINING,
    )
    length_balance: Annotated[tuple[bool, ...], BeforeValidator(Several(Flag()))] = option(
        (False,),
        "as many training pairs with the longer completion chosen as with the shorter one, by tokens",
        AXIS,
        key="suite.length_balance",
        scope=Scope.TRAINING,
    )
    min_margin: Annotated[tuple[float | None, ...], BeforeValidator(Several(OrNone(Number(minimum=0))))] = option(
        (None,),
        "drop training pairs whose score_chosen - score_rejected is smaller; needs a suite with scores",
        AXIS,
        shown="none",
        key="suite.min_margin",
        scope=Scope.TRAINING,
    )
    # training
    batch_size: Annotated[int, whole(1)] = option(16, "pairs in one optimizer step", scope=Scope.TRAINING)
    epochs: Annotated[int, whole(1)] = option(1, "passes over the training pairs", scope=Scope.TRAINING)
    optimizer: Annotated[str, BeforeValidator(Choice(tuple(optimizers.OPTIMIZERS)))] = option(
        optimizers.DEFAULT, "what turns gradients into steps", scope=Scope.TRAINING
    )
    weight_decay: Annotated[float, BeforeValidator(Number(minimum=0))] = option(
        0.0, "AdamW's weight decay", scope=Scope.TRAINING
    )
    warmup: Annotated[float, BeforeValidator(Number(minimum=0, below=1))] = option(
        0.1, "share of the steps in which the learning rate rises from zero", scope=Scope.TRAINING
    )
    clip: Annotated[float, Positive] = option(
        1.0, "largest norm of a gradient; a longer one is scaled down", scope=Scope.TRAINING
    )
    lr_schedule: Annotated[str, BeforeValidator(Choice(("cosine", "linear", "constant")))] = option(
        "cosine", "the learning rate's way down after the warm-up", scope=Scope.TRAINING
    )
    start: Annotated[str, BeforeValidator(Choice(("model", "sft")))] = option(
        "model",
        "starting weights: the model's, or first tuned on chosen completions, once for all cells",
        scope=Scope.GRID,
        whole_model="sft",
    )
    rounds: Annotated[int, whole(1)] = option(
        1,
        "rounds of training; from the second on, each cell's policy answers prompts and trains on pairs of them",
        scope=Scope.TRAINING,
        whole_model=True,
    )
    reference: Annotated[str, BeforeValidator(Choice(("first", "previous")))] = option(
        "first",
        "what later rounds are trained against: the starting weights, or those that the round began with",
        scope=Scope.TRAINING,
    )
    score: Annotated[str, BeforeValidator(Text())] = option(
        "gold",
        "what rates the completions of later rounds: gold (the suite's reward), gold:SUITE, or implicit:CELL",
        scope=Scope.TRAINING,
    )
    tuning: Annotated[str, BeforeValidator(Choice(("full", "lora")))] = option(
        "full", "train all weights, or a LoRA adapter", scope=Scope.TRAINING, whole_model="lora"
    )
    lora_rank: Annotated[int, whole(1)] = option(16, "rank of the adapter", scope=Scope.TRAINING)
    lora_alpha: Annotated[int, whole(1)] = option(
        32, "scale of the adapter, relative to its rank", scope=Scope.TRAINING
    )
    precision: Annotated[str, BeforeValidator(Choice(("auto", "fp32", "bf16")))] = option(
        "auto", "arithmetic of training; evaluation is always fp32", scope=Scope.TRAINING, evaluate=True
    )
    evals: Annotated[int, whole(1)] = option(1, "evaluations within a run, the last at its end", scope=Scope.EVALUATION)
    similarity: Annotated[str, BeforeValidator(Choice(("edit", "ches")))] = option(
        "edit",
        "how alike a pair's completions are: by edits of tokens, or also by hidden states of the reference (ches)",
        scope=Scope.EVALUATION,
        evaluate=True,
        whole_model="ches",
    )
    # completions, measured after training
    generate: Annotated[int, whole(0)] = option(
        0,
        "prompts of the test split that each cell and its reference answer after training; 0 = none",
        scope=Scope.MEASUREMENT,
        evaluate=True,
        whole_model=True,
    )
    rerank: Annotated[int, whole(0)] = option(
        0,
        "completions of the reference for each of these prompts; a cell's implicit reward chooses one; 0 = none",
        scope=Scope.MEASUREMENT,
        evaluate=True,
    )
    prompts: Annotated[str | None, BeforeValidator(Auto(Text()))] = option(
        None,
        "a file whose prompts are answered instead; auto = the suite's test split",
        shown="auto",
        scope=Scope.MEASUREMENT,
        evaluate=True,
    )
    max_new_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = option(
        None,
        "limit of one generated completion; auto = the sampled suite's own, else 64",
        shown="auto",
        scope=Scope.EVALUATION,
        evaluate=True,
    )
    temperature: Annotated[float, BeforeValidator(Number(minimum=0))] = option(
        1.0,
        "of generated completions; 0 = greedy, and only 1 with top_p=1 gives a KL",
        scope=Scope.EVALUATION,
        evaluate=True,
    )
    top_p: Annotated[float, BeforeValidator(Number(above=0, maximum=1))] = option(
        1.0,
        "completions draw each token from the likeliest ones that together have this probability",
        scope=Scope.EVALUATION,
        evaluate=True,
    )
    judge: Annotated[Names, BeforeValidator(SeveralOrNone(Several(Text())))] = option(
        (),
        "who judges generated completions: names of `list judges`, the first of them in the tables",
        LIST,
        shown="none",
        scope=Scope.MEASUREMENT,
        evaluate=True,
    )
    lm_eval: Annotated[Names, BeforeValidator(SeveralOrNone(Several(Text())))] = option(
        (),
        "tasks that measure what training costs in capability, before and after: everyday (packaged), names of "
        "`list tasks`, or folders of lm-eval task files",
        LIST,
        shown="none",
        scope=Scope.MEASUREMENT,
        evaluate=True,
        whole_model=True,
    )
    refusal: Annotated[str, BeforeValidator(Text())] = option(
        "none",
        "how to count the generated completions that decline, the reference's too: none, rule (by their opening "
        "phrase), or openai:MODEL",
        scope=Scope.MEASUREMENT,
        evaluate=True,
    )
    # the machine
    device: Annotated[str, BeforeValidator(Device())] = option(
        "auto", "where the model runs", scope=Scope.MACHINE, evaluate=True
    )
    threads: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1, 1024)))] = option(
        None, "CPU threads", shown="auto", scope=Scope.COMPUTATION, evaluate=True
    )
    workers: Annotated[int | None, BeforeValidator(Auto(WholeNumber(0)))] = option(
        None,
        "processes that run cells; auto = one a GPU, else one; 0 = in the command's own process",
        shown="auto",
        scope=Scope.MACHINE,
        evaluate=True,
    )
    engine: Annotated[str, BeforeValidator(Choice(("local", "ray", "slurm")))] = option(
        "local",
        "where cells run: processes of this machine, of a Ray cluster (extra `ray`), or jobs of Slurm (extra `slurm`)",
        scope=Scope.MACHINE,
    )
    shard: Annotated[bool, BeforeValidator(Flag())] = option(
        False, "split weights, gradients and AdamW's moments over the processes of a launch (FSDP)", scope=Scope.MACHINE
    )
    layout: Annotated[str, BeforeValidator(Choice(("auto", "packed", "shared", "plain")))] = option(
        "auto",
        "prompt computed once for its completions, without padding (packed) or with it (shared), or once for "
        "each (plain); the fastest that agrees with the model's own logits",
        scope=Scope.COMPUTATION,
        evaluate=True,
    )
    micro_batch: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = option(
        None,
        "pairs in one forward pass; changes memory and speed, never a gradient",
        shown="auto",
        scope=Scope.COMPUTATION,
    )
    micro_tokens: Annotated[int | None, BeforeValidator(Auto(WholeNumber(1)))] = option(
        None,
        "tokens in one forward pass where micro_batch is auto; halved when memory runs out; auto = what fits",
        shown="auto",
        scope=Scope.COMPUTATION,
    )
    activation_checkpointing: Annotated[bool, BeforeValidator(Flag())] = option(
        False,
        "compute each layer's activations again in the backward pass: less memory, about a third more time",
        scope=Scope.COMPUTATION,
    )
    store: Annotated[bool, BeforeValidator(Flag())] = option(
        True,
        "keep the reference's log-probs on disk; changes speed, never a number",
        scope=Scope.MACHINE,
        evaluate=True,
    )
    checkpoint_steps: Annotated[int, whole(0)] = option(
        0, "steps between checkpoints from which a killed cell goes on; 0 = none", scope=Scope.MACHINE, whole_model=True
    )
    retry: Annotated[str, BeforeValidator(Choice(("none", "failed")))] = option(
        "none",
        "what to do with cells that failed in an earlier command: keep them, or run them again",
        scope=Scope.MACHINE,
        evaluate=True,
    )
    # what a plan is made for
    devices: Annotated[int, whole(1)] = option(
        1, "plan only: devices that share the work, and a cell's memory", scope=Scope.PLAN
    )
    device_hour_price: Annotated[float, BeforeValidator(Number(minimum=0))] = option(
        0.0, "plan only: price of a device for an hour, in your currency", scope=Scope.PLAN
    )
    device_tflops: Annotated[float | None, BeforeValidator(Auto(Number(above=0)))] = option(
        None, "plan only: matrix rate of a device; auto = measured here", shown="auto", scope=Scope.PLAN
    )
    show: Annotated[int, whole(0)] = option(
        0, "plan only: print so many training rows as the token ids and text that the model is given", scope=Scope.PLAN
    )
    # what is left behind
    save: Annotated[str, BeforeValidator(Choice(("none", "best", "all")))] = option(
        "none", "trained models to keep, as folders that from_pretrained loads", scope=Scope.MACHINE, whole_model=True
    )
    out: Annotated[str, BeforeValidator(Place())] = option(
        "runs", "folder of the results", scope=Scope.MACHINE, evaluate=True
    )
    # settings with dotted keys
    suite_settings: dict[str, str] = Field(default_factory=dict)
    judge_settings: Annotated[dict[str, Any], AfterValidator(judge_values)] = Field(default_factory=dict)
    loss_settings: Annotated[dict[str, dict[str, Any]], AfterValidator(values.check_loss_settings)] = Field(
        default_factory=dict
    )
