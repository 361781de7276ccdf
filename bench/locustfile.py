"""A locustfile for people who use locust: the users of the walk-through in README.md, and strangers.

    pip install -e '.[locust]'
    fastgw config.json
    locust -f bench/locustfile.py --headless -u 30 -r 10 -t 30s

Every answer is judged: 401 is right for a stranger; for a consumer 200 is right while the limit lasts, and
429 when nothing is left of it. What is wrong is a failure of locust's, which then exits with 1. This shows
that the rules hold under load; it does not show how fast the gateway is: locust's own clients cost many
times what the gateway does (docs/performance.md says how that is measured).

Set by environment: FASTGW_HOST (or locust's --host), FASTGW_PATH, FASTGW_USER_RATE (requests per second of
each user), FASTGW_WINDOW (seconds of the limits), and for each consumer FASTGW_JOHN_KEY, FASTGW_JOHN_SECRET,
FASTGW_JOHN_LIMIT and the same with JANE. The limits must be for these users alone.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field

from locust import FastHttpUser, constant_throughput, task

from fastgw import tokens

PATH = os.environ.get("FASTGW_PATH", "/anything")
RATE = float(os.environ.get("FASTGW_USER_RATE", "10"))
WINDOW_SECONDS = float(os.environ.get("FASTGW_WINDOW", "30"))
HOUR = 3600


@dataclass
class Limit:
    """A consumer's limit as all users of this process have seen it."""

    count: int
    passed: deque[float] = field(default_factory=deque)

    def fault(self, status: int, remaining: str | None) -> str | None:
        """What is wrong with an answer, in words.

        Where the gateway's windows begin is not known here, but any span of one window touches two at most. A
        second less than the window, because answers take a while.
        """
        now = time.monotonic()
        if status == 429:
            return None if remaining in (None, "0") else f"429 though {remaining} requests are left"
        if status != 200:
            return f"expected 200 or 429, got {status}"
        while self.passed and self.passed[0] < now - max(WINDOW_SECONDS - 1, 0):
            self.passed.popleft()
        self.passed.append(now)
        if len(self.passed) > 2 * self.count:
            return f"{len(self.passed)} times 200 within {WINDOW_SECONDS:g} s, where two windows of {self.count} may pass"
        return None


class Caller(FastHttpUser):
    """Asks at a steady rate, and judges the answers."""

    abstract = True
    host = os.environ.get("FASTGW_HOST", "http://127.0.0.1:9080")
    wait_time = constant_throughput(RATE)

    def ask(self, what: str, token: str | None, limit: Limit | None = None) -> None:
        headers = {"Authorization": token} if token else {}
        with self.client.get(PATH, headers=headers, name=what, catch_response=True) as answer:
            if limit:
                fault = limit.fault(answer.status_code, (answer.headers or {}).get("X-RateLimit-Remaining"))
            else:
                fault = None if answer.status_code == 401 else f"expected 401, got {answer.status_code}"
            if fault:
                answer.failure(fault)
            else:
                answer.success()


class Consumer(Caller):
    """Someone with a token and a limit."""

    abstract = True
    who: str
    key: str
    secret: str
    limit: Limit  # one for all users of the class: the gateway counts them together

    def on_start(self) -> None:
        self.token = tokens.make({"key": self.key, "exp": int(time.time()) + HOUR}, self.secret.encode(), "HS256")

    @task
    def call(self) -> None:
        self.ask(f"{self.who}: 200 or 429", self.token, self.limit)


class John(Consumer):
    who = "johndoe"
    key = os.environ.get("FASTGW_JOHN_KEY", "john-key")
    secret = os.environ.get("FASTGW_JOHN_SECRET", "john-hs256-secret")
    limit = Limit(int(os.environ.get("FASTGW_JOHN_LIMIT", "1")))


class Jane(Consumer):
    who = "janedoe"
    key = os.environ.get("FASTGW_JANE_KEY", "jane-key")
    secret = os.environ.get("FASTGW_JANE_SECRET", "jane-hs256-secret")
    limit = Limit(int(os.environ.get("FASTGW_JANE_LIMIT", "2")))


class Stranger(Caller):
    """Without a token, with one signed by a wrong secret, with one that has expired: never let in."""

    def on_start(self) -> None:
        claims, now = {"key": John.key}, int(time.time())
        self.forged = tokens.make({**claims, "exp": now + HOUR}, b"not the secret of anybody here", "HS256")
        self.expired = tokens.make({**claims, "exp": now - HOUR}, John.secret.encode(), "HS256")

    @task
    def no_token(self) -> None:
        self.ask("no token: 401", None)

    @task
    def forged_token(self) -> None:
        self.ask("forged: 401", self.forged)

    @task
    def expired_token(self) -> None:
        self.ask("expired: 401", self.expired)
