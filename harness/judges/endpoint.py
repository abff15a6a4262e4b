"""A judging model behind an OpenAI-compatible endpoint: hosted, or vLLM, llama.cpp, Ollama on a machine of yours.

The `openai` client repeats what failed for a passing reason (429, 408, 409, 5xx, broken connections, time-outs), with
growing, jittered waits or the server's Retry-After. Requests are paced before they leave, repeated ones too. The key
comes from the environment, is sent to the endpoint and to nowhere else, and is cut out of every message.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from harness.judges.protocol import JudgeError, Verdict, invalid
from harness.judges.question import INSTRUCTIONS, LONGEST_REASON, Question, does_it_decline, read, which_is_better
from harness.options.judges import JudgeSettings

KEY = "OPENAI_API_KEY"
HOME = "https://api.openai.com/v1"
_GARBLED = 3  # how often a reply that is no JSON is asked for again: the client does not repeat these


class Pacer:
    """Lets callers pass at most so often a minute, evenly spaced, whichever thread they come from."""

    def __init__(
        self,
        per_minute: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._next = 0.0
        self._lock = threading.Lock()

    def __call__(self, request: Any = None) -> None:
        """Returns when it is this caller's turn."""
        if not self._gap:
            return
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self._gap
        self._sleep(max(0.0, turn - self._clock()))


class Endpoint:
    """A model that is asked one question a pair, at temperature 0.

    Raises: JudgeError without the client library, or without a key where OpenAI's own endpoint is asked.
    """

    symmetric = False

    def __init__(self, model: str, settings: JudgeSettings) -> None:
        try:
            import openai
        except ImportError:
            raise JudgeError("judge openai: its client is missing; pip install 'preference-harness[judge]'") from None
        self.model, self.settings = model, settings
        self._key = os.environ.get(KEY, "")
        if not self._key and settings.base_url is None:
            raise JudgeError(
                f"judge openai:{model}: {KEY} is not set in the environment; set it, or name an endpoint "
                "that needs no key: judge.base_url=http://127.0.0.1:8000/v1"
            )
        asked = [settings.base_url or HOME, model, settings.reply_tokens, *INSTRUCTIONS.values()]
        self.id = f"openai:{model}@{hashlib.sha256(repr(asked).encode()).hexdigest()[:8]}"
        self._errors = openai
        self._client = openai.OpenAI(
            api_key=self._key or "none",
            base_url=settings.base_url or HOME,
            max_retries=settings.retries,
            timeout=settings.timeout_seconds,
            http_client=openai.DefaultHttpxClient(
                event_hooks={"request": [Pacer(settings.requests_per_minute)]}, timeout=settings.timeout_seconds
            ),
        )

    def compare(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> list[Verdict]:
        """One verdict a pair; see `Judge`."""
        found = dict(self.stream(prompts, a, b))
        return [found[row] for row in range(len(prompts))]

    def stream(self, prompts: Sequence[str], a: Sequence[str], b: Sequence[str]) -> Iterator[tuple[int, Verdict]]:
        """Each row's verdict as soon as it is there. Raises: JudgeError where asking on is pointless."""
        yield from self._completions(list(map(which_is_better, prompts, a, b)))

    def declines(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Verdict]:
        """1 where a completion declines its request, 0 where it does not, NaN without a valid verdict."""
        found = dict(self._completions(list(map(does_it_decline, prompts, completions))))
        return [found[row] for row in range(len(prompts))]

    def _completions(self, questions: Sequence[Question]) -> Iterator[tuple[int, Verdict]]:
        """Each question's verdict as it comes. Raises: JudgeError where none of the first ones gets a reply."""
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            rows = {pool.submit(self._ask, question): row for row, question in enumerate(questions)}
            silent = 0
            try:
                for done in as_completed(rows):
                    verdict = done.result()
                    silent = math.nan if verdict.given else silent + 1
                    yield rows[done], verdict
                    if silent >= self.settings.concurrency:
                        raise JudgeError(
                            f"judge {self.id}: {verdict.reason}; none of the first {silent} requests got a reply"
                        )
            finally:
                for waiting in rows:
                    waiting.cancel()

    def _ask(self, question: Question) -> Verdict:
        """The verdict on one question. Raises: JudgeError where no other question could fare better."""
        errors = self._errors
        try:
            reply = self._reply(question)
        except (errors.AuthenticationError, errors.PermissionDeniedError, errors.NotFoundError) as error:
            raise JudgeError(
                f"judge {self.id}: {self._plain(error)}; check {KEY}, the model's name and judge.base_url"
            ) from None
        except (errors.OpenAIError, ValueError) as error:
            return invalid(f"no reply: {self._plain(error)}", given=False)
        tokens = reply.usage.total_tokens if reply.usage else 0
        choice = reply.choices[0] if reply.choices else None
        reading = read(question, (choice.message.content or "") if choice else "")
        if reading.value is None:
            cut = "cut at judge.reply_tokens: " if choice and choice.finish_reason == "length" else ""
            return invalid(self._safe(cut + reading.reason), tokens)
        return Verdict(reading.value, self._safe(reading.reason), tokens)

    def _reply(self, question: Question) -> Any:
        messages = [{"role": "system", "content": question.system}, {"role": "user", "content": question.user}]
        for attempt in range(_GARBLED + 1):
            try:
                return self._client.chat.completions.create(
                    model=self.model, messages=messages, temperature=0, max_tokens=self.settings.reply_tokens
                )
            except ValueError:
                if attempt == _GARBLED:
                    raise
        raise AssertionError

    def _plain(self, error: Exception) -> str:
        return self._safe(f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _safe(self, text: str) -> str:
        """A text without the key, and not longer than is kept."""
        return (text.replace(self._key, "***") if self._key else text)[:LONGEST_REASON]
