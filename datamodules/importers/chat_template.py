"""The chat template: messages of system, user, assistant and tools as turns of a document.

The sequence format has three roles (``omni.layout``), so that checkpoints and tokenizers stay what they are. What
tools are told and say is written as in Qwen2.5's template: descriptions between ``<tools>`` in the system's turn,
calls between ``<tool_call>`` in the assistant's, results between ``<tool_response>`` in the user's::

    {"role": "user", "content": "Weather?"}          <|user|>Weather?<|end|>
    {"role": "assistant", "tool_calls": [...]}       <|assistant|><tool_call>\\n{...}\\n</tool_call><|end|>
    {"role": "tool", "content": "18 C"}              <|user|><tool_response>\\n18 C\\n</tool_response><|end|>

These tags are plain text, which a user can write too; role markers are control symbols, which nobody can.
"""

from __future__ import annotations

import json
from collections.abc import Sequence as Seq
from typing import Any

from omni.datamodules.importers.chat_content import Shelf, content_segments
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import short
from omni.sequence import Role, Segment, Text

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
    "function": "user",
}
"""The turn that a message belongs to, by the role that it names."""
TOOLS = ("tool", "function")


def turns_of(
    messages: Any, where: str, shelf: Shelf, *, learn: bool = True, tools: Any = None
) -> tuple[Segment, ...]:
    """The segments of messages; those of the assistant are learned, in every modality.

    Neighbouring messages of one role are one turn, with a line break between them. An assistant's message with
    ``"weight": 0`` isn't learned (OpenAI's format for fine-tuning).

    Args:
        messages: the list.
        where: what messages of errors begin with.
        shelf: media of the line.
        learn: whether the assistant's messages are learned at all.
        tools: descriptions of tools that the assistant may call.

    Raises:
        DocumentError: a message that can't be used, or an assistant's that says nothing.
    """
    if not isinstance(messages, list) or not messages:
        raise DocumentError(f"{where}: expected a list of messages, got {short(messages)}")
    segments: list[Segment] = [*_described(tools)]
    for number, message in enumerate(messages):
        said = _message(message, f"{where}[{number}]", shelf, learn)
        if said and segments and segments[-1].role == said[0].role:
            segments.append(Text("\n", role=said[0].role, loss=said[0].loss))
        segments += said
    return tuple(segments)


def _described(tools: Any) -> list[Segment]:
    if not tools:
        return []
    if not isinstance(tools, list):
        raise DocumentError(f"tools: expected a list of descriptions, got {short(tools)}")
    lines = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    return [Text(f"<tools>\n{lines}\n</tools>", role="system", loss=False)]


def _message(message: Any, where: str, shelf: Shelf, learn: bool) -> Seq[Segment]:
    name = message.get("role") if isinstance(message, dict) else None
    if name not in ROLES:
        raise DocumentError(f"{where}.role: expected one of {list(ROLES)}, got {short(name)}")
    role = ROLES[name]
    loss = learn and role == "assistant" and _weight(message, where) > 0
    said = content_segments(message.get("content"), f"{where}.content", shelf, role, loss)
    if name in TOOLS:
        return _between(said, "tool_response", role)
    if role == "assistant":
        said += _calls(message.get("tool_calls"), f"{where}.tool_calls", loss)
    if not any(not isinstance(s, Text) or s.text.strip() for s in said):
        raise DocumentError(f"{where}: the {name}'s message is empty")
    return said


def _weight(message: dict[str, Any], where: str) -> float:
    weight = message.get("weight", 1)
    if weight not in (0, 1):
        raise DocumentError(f"{where}.weight: expected 0 or 1, got {short(weight)}")
    return float(weight)


def _between(said: Seq[Segment], tag: str, role: Role) -> list[Segment]:
    opening, closing = Text(f"<{tag}>\n", role=role, loss=False), Text(f"\n</{tag}>", role=role, loss=False)
    return [opening, *said, closing]


def _calls(calls: Any, where: str, loss: bool) -> list[Segment]:
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise DocumentError(f"{where}: expected a list of calls, got {short(calls)}")
    return [
        Text(f"<tool_call>\n{_call(call, f'{where}[{n}]')}\n</tool_call>", role="assistant", loss=loss)
        for n, call in enumerate(calls)
    ]


def _call(call: Any, where: str) -> str:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise DocumentError(f"{where}: expected an object with the name of a function, got {short(call)}")
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):  # OpenAI writes them as JSON in a string
        try:
            arguments = json.loads(arguments)
        except ValueError as error:
            raise DocumentError(f"{where}.arguments: not JSON ({error})") from error
    return json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)
