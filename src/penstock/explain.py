"""explain: librdkafka's words, and a visit to each address (listener.py), become the one sentence that tells most."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.listener import DEFAULT_MECHANISM, Listener, host_and_port, inspect
from penstock.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Explanation", "advertised", "explain"]

_VISITS_AT_ONCE: Final = 16
_BROKER_IN_ERROR: Final = re.compile(r"(?:\w+://)?([^\s/]+:\d+)/(bootstrap|\d+): (.*)", re.DOTALL)
_LOGIN: Final = "_AUTHENTICATION"
_REFUSED: Final = re.compile(r"SASL authentication error: (?:Authentication failed: )?(.*?)(?: \(after \d.*\))?$")


class Explanation(NamedTuple):
    """Why a client could not connect, in one sentence where one was found; lasting: to wait longer mends nothing."""

    text: str | None
    lasting: bool


def explain(
    options: Mapping[str, str],
    errors: Sequence[tuple[str, str]],
    timeout_secs: float,
    *,
    hidden: frozenset[str] = frozenset(),
    msk_region: str | None = None,
) -> Explanation:
    """Say in one sentence why a client could not connect, the most telling one over all addresses.

    options       as in Config.kafka
    errors        what librdkafka reported, oldest first: the error's name, such as "_TRANSPORT", and its text
    timeout_secs  for each connection of an inspection; all addresses are visited at once
    hidden        options whose value is not shown
    msk_region    where the token of SASL OAUTHBEARER is one of AWS MSK IAM

    No sentence: every address can be used as configured, or cannot be judged from here; librdkafka's own text is all
    there is. Lasting: no address of bootstrap.servers will let us in, however long it is waited for.
    """
    found = [(_BROKER_IN_ERROR.match(text), code, text) for code, text in errors]
    places = [one.strip() for one in options["bootstrap.servers"].split(",") if one.strip()]
    given = {host_and_port(place.rpartition("://")[2])[0] for place in places}
    refused: dict[str, str] = {}
    for broker, code, text in found:
        said = _login_problem(broker[3] if broker else text, options, hidden, msk_region) if code == _LOGIN else None
        if said is not None:
            where = broker[1] if broker else options["bootstrap.servers"]
            refused |= dict.fromkeys([broker[1]] if broker else given, f"{where}: {said}")
    told = {address: broker_id for address, broker_id in advertised(errors).items() if address not in given}
    places = [place for place in (*places, *told) if host_and_port(place.rpartition("://")[2])[0] not in refused]
    visited = _inspect_all(places, options, timeout_secs)
    lasting = not any(one.address in given and (one.problem is None or one.passing) for one in visited)
    if refused:
        return Explanation(next(iter(refused.values())), lasting)
    # What answers is not merely down; and whoever knows the advertised addresses has reached one that was given.
    visited.sort(key=lambda one: (not one.connected, one.address not in told))
    for one in visited:
        if one.problem is not None:
            broker_id = told.get(one.address)
            text = one.problem if broker_id is None else f"broker {broker_id}, advertised as {one.problem}"
            return Explanation(text, lasting)
    return Explanation(None, lasting=False)


def advertised(errors: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the addresses that brokers told us, of those with an error: who knows them was let in. With their ids."""
    found = [_BROKER_IN_ERROR.match(text) for _, text in errors]
    return {broker[1]: broker[2] for broker in found if broker and broker[2] != "bootstrap"}


def _inspect_all(places: Sequence[str], options: Mapping[str, str], timeout_secs: float) -> list[Listener]:
    """Visit addresses side by side; neither Ctrl-C nor the end of the process waits for them, as for a pool."""
    waiting = enumerate(places)
    visited: dict[int, Listener] = {}

    def visit() -> None:
        for number, place in waiting:  # each of them goes to one visitor
            visited[number] = inspect(place, options, timeout_secs)

    visitors = [threading.Thread(target=visit, daemon=True) for _ in range(min(len(places), _VISITS_AT_ONCE))]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    return [visited[number] for number in sorted(visited)]


def _login_problem(text: str, options: Mapping[str, str], hidden: frozenset[str], msk_region: str | None) -> str | None:
    """Return librdkafka's sentence about refused credentials in ours, None where it is about something else."""
    refused = _REFUSED.search(text)
    if refused is None:
        _, failed, why = text.partition("Failed to acquire SASL OAUTHBEARER token: ")
        return f"there is no token for SASL OAUTHBEARER: {why}" if failed else None
    said, mechanism = refused[1], options.get("sasl.mechanism", DEFAULT_MECHANISM).upper()
    if mechanism == "OAUTHBEARER":
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(said)["status"]
        if msk_region is not None:
            return (
                f"the broker refuses the token of AWS MSK IAM for region {msk_region}: {said}; check that the cluster "
                "is there, the AWS credentials and what their policy allows, and the clock of this machine"
            )
        return (
            f"the broker refuses the token of SASL OAUTHBEARER: {said}; check for whom it is made, how long it is "
            "valid, and the clock of this machine"
        )
    user = options.get("sasl.username")
    who = f"user {shown(user)}" if user is not None and "sasl.username" not in hidden else "the user of sasl.username"
    return f"the broker refuses {who} with SASL {mechanism}: {said}; check sasl.username and sasl.password"
