"""Small rows in the columns of each public form, two a form and both usable: (suite, settings, rows)."""

from __future__ import annotations

from typing import NamedTuple


class Sample(NamedTuple):
    """Rows of one form of one suite, and the settings under which they load from a file."""

    suite: str
    form: str
    rows: list[dict]
    settings: dict[str, str] = {}

    def __str__(self) -> str:
        return f"{self.suite}-{self.form}"


def turn(role: str, content: str) -> dict:
    return {"role": role, "content": content}


def chat(asked: str, answered: str) -> list[dict]:
    return [turn("user", asked), turn("assistant", answered)]


def both(**columns: list) -> list[dict]:
    """Two rows from columns of two values."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


Q, GOOD, BAD = ["Tea?", "Coffee?"], ["Yes, tea.", "Yes, coffee."], ["No.", "Never."]
CHOSEN, REJECTED = ([chat(*pair) for pair in zip(Q, side, strict=True)] for side in (GOOD, BAD))
TREE = {
    "message_id": "root",
    "text": "Tea?",
    "role": "prompter",
    "lang": "en",
    "replies": [
        {"message_id": "a", "text": "No.", "role": "assistant", "lang": "en", "rank": 1, "replies": []},
        {
            "message_id": "b",
            "text": "Yes, tea.",
            "role": "assistant",
            "lang": "en",
            "rank": 0,
            "replies": [
                {
                    "message_id": "again",
                    "text": "Why?",
                    "role": "prompter",
                    "lang": "en",
                    "replies": [
                        {"message_id": "c", "text": "It is hot.", "role": "assistant", "lang": "en", "rank": 0},
                        {"message_id": "d", "text": "So.", "role": "assistant", "lang": "en", "rank": 2},
                        {"message_id": "e", "text": "Because.", "role": "assistant", "lang": "en", "rank": 1},
                        {"message_id": "f", "text": "Spam", "role": "assistant", "lang": "en", "rank": None},
                    ],
                },
            ],
        },
    ],
}


def flat(message: dict, parent: str | None = None) -> list[dict]:
    """The messages of a tree as the hub's rows."""
    row = {key: message.get(key) for key in ("message_id", "text", "role", "lang", "rank")}
    below = [found for reply in message.get("replies", ()) for found in flat(reply, message["message_id"])]
    return [{**row, "parent_id": parent, "deleted": False, "message_tree_id": "root"}, *below]


SAMPLES = [
    Sample(
        "hh-rlhf",
        "transcripts",
        both(
            chosen=[f"\n\nHuman: {q}\n\nAssistant: {a}" for q, a in zip(Q, GOOD, strict=True)],
            rejected=[f"\n\nHuman: {q}\n\nAssistant: {a}" for q, a in zip(Q, BAD, strict=True)],
        ),
    ),
    Sample(
        "ultrafeedback",
        "h4",
        both(
            prompt=Q,
            prompt_id=["x", "y"],
            chosen=CHOSEN,
            rejected=REJECTED,
            score_chosen=[9.0, 8.0],
            score_rejected=[1.0, 2.5],
        ),
    ),
    Sample(
        "ultrafeedback",
        "trl",
        both(chosen=CHOSEN, rejected=REJECTED, score_chosen=[9.0, 8.0], score_rejected=[1.0, 2.5]),
    ),
    Sample(
        "ultrafeedback",
        "argilla",
        [
            {"prompt": q, "chosen": c, "rejected": r, "chosen-rating": 9.0, "rejected-rating": 1.0}
            for q, c, r in zip(Q, CHOSEN, REJECTED, strict=True)
        ],
    ),
    Sample(
        "ultrafeedback",
        "argilla_mix",
        both(chosen=CHOSEN, rejected=REJECTED, chosen_rating=[5.0, 4.0], rejected_rating=[1.0, 1.5]),
    ),
    Sample(
        "ultrafeedback",
        "princeton",
        both(
            prompt=Q,
            chosen=CHOSEN,
            rejected=REJECTED,
            all_rm_scores=[[0.1, 0.9, 0.4], [0.2, 0.3, 0.25]],
            all_generated_responses=[[BAD[0], GOOD[0], "Hm."], [BAD[1], GOOD[1], "Hm."]],
        ),
    ),
    Sample(
        "ultrafeedback",
        "openbmb",
        both(
            instruction=Q,
            completions=[
                [
                    {"response": BAD[i], "fine-grained_score": 1.0, "overall_score": 9.0},
                    {"response": GOOD[i], "fine-grained_score": 4.5, "overall_score": 2.0},
                ]
                for i in range(2)
            ],
        ),
    ),
    Sample(
        "tldr",
        "text",
        both(
            prompt=[f"POST: {q}\n\nTL;DR:" for q in Q], chosen=[f" {a}" for a in GOOD], rejected=[f" {a}" for a in BAD]
        ),
    ),
    Sample(
        "tldr",
        "comparisons",
        both(
            info=[
                {"id": "t3_1", "post": "I drink tea.", "title": "Tea", "subreddit": "tea"},
                {"id": "t3_2", "article": "Coffee is dear.", "title": "News"},
            ],
            summaries=[
                [{"text": " Tea.", "policy": "sup1"}, {"text": " Nothing.", "policy": "sup2"}],
                [{"text": " News.", "policy": "sup1"}, {"text": " Coffee.", "policy": "sup2"}],
            ],
            choice=[0, 1],
            worker=["w", "w"],
            batch=["b", "b"],
            split=["train", "valid1"],
        ),
    ),
    Sample(
        "shp",
        "shp",
        both(
            history=Q,
            human_ref_A=[GOOD[0], BAD[1]],
            human_ref_B=[BAD[0], GOOD[1]],
            labels=[1, 0],
            score_A=[30, 10],
            score_B=[10, 15],
            domain=["askbaking_test"] * 2,
            post_id=["p", "q"],
        ),
    ),
    Sample("orca-dpo-pairs", "orca", both(system=["", "Be brief."], question=Q, chosen=GOOD, rejected=BAD)),
    Sample(
        "tulu3-preference", "tulu3", both(id=["1", "2"], source=["s", "t"], prompt=Q, chosen=CHOSEN, rejected=REJECTED)
    ),
    Sample(
        "helpsteer2",
        "rated",
        [
            {"prompt": q, "response": a, "helpfulness": h, "correctness": 4, "coherence": 4, "verbosity": 1}
            for i, q in enumerate(Q)
            for a, h in ((BAD[i], 1), (GOOD[i], 4))
        ],
    ),
    Sample(
        "helpsteer2",
        "preference",
        both(
            split=["train", "validation"],
            prompt=Q,
            response_1=[GOOD[0], BAD[1]],
            response_2=[BAD[0], GOOD[1]],
            preference_strength=[-3, 1],
            all_preferences_unprocessed=[
                [{"strength": -3}, {"strength": -2}, {"strength": 1}, {"strength": 0}],
                [{"strength": 1}, {"strength": 2}],
            ],
        ),
    ),
    Sample(
        "helpsteer3",
        "preference",
        both(
            domain=["general", "multilingual"],
            language=["english", "german"],
            context=[[turn("system", "Be kind."), turn("user", Q[0])], [turn("user", "Kaffee oder Käse?")]],
            response1=[GOOD[0], "Weiß nicht."],
            response2=[BAD[0], "Käse, bitte."],
            overall_preference=[-2, 3],
            individual_preference=[[{"score": -2}, {"score": -2}, {"score": 1}], [{"score": 3}]],
        ),
    ),
    Sample(
        "webgpt",
        "comparisons",
        both(
            question=[{"dataset": "eli5", "id": "1", "full_text": q} for q in Q],
            answer_0=[GOOD[0], BAD[1]],
            answer_1=[BAD[0], GOOD[1]],
            score_0=[0.5, -1.0],
            score_1=[-0.5, 1.0],
        ),
    ),
    Sample("oasst", "trees", [{"message_tree_id": "root", "tree_state": "ready_for_export", "prompt": TREE}]),
    Sample("oasst", "messages", flat(TREE)),
    Sample(
        "oasst",
        "pairs",
        both(
            prompt=[[turn("user", q)] for q in Q],
            chosen=GOOD,
            rejected=BAD,
            meta=[{"rank_chosen": 0, "rank_rejected": 2}, {"rank_chosen": 1, "rank_rejected": 2}],
        ),
    ),
    Sample(
        "kto-mix",
        "unpaired",
        both(
            prompt=[[turn("user", q)] for q in Q],
            completion=[[turn("assistant", GOOD[0])], [turn("assistant", BAD[1])]],
            label=[True, False],
        ),
    ),
    Sample("llmbar", "outputs", both(input=Q, output_1=[GOOD[0], BAD[1]], output_2=[BAD[0], GOOD[1]], label=[1, 2])),
    Sample(
        "pandalm",
        "judged",
        both(
            instruction=Q,
            input=["", "With milk?"],
            response1=[GOOD[0], BAD[1]],
            response2=[BAD[0], GOOD[1]],
            annotator1=[1, 2],
            annotator2=[1, 2],
            annotator3=[2, 2],
        ),
    ),
    Sample(
        "pandalm",
        "pairs",
        both(
            prompt=Q,
            chosen=GOOD,
            rejected=BAD,
            meta=[{"votes": [1, 1, 2], "chosen_is": 1}, {"votes": [2, 2, 2], "chosen_is": 2}],
        ),
    ),
    Sample(
        "persona",
        "evals",
        both(
            question=["Tea?", "Mud?"],
            answer_matching_behavior=[" Yes", " No"],
            answer_not_matching_behavior=[" No", " Yes"],
        ),
    ),
]
# The name under which a sample's file lies in its folder, where a suite reads its subset off the name.
FILE_OF = {"llmbar": "natural", "shp": "askbaking/test", "hh-rlhf": "helpful-base/test", "oasst": "rows"}
