"""``/votes``: what people on the page think of answers, kept, and given back as preferences."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from omni.serve.errors import invalid
from omni.serve.routes import answers
from omni.serve.schema.messages import AssistantMessage, ImagePart, Message
from omni.serve.schema.votes import KeptVote, Vote, VoteCounts
from omni.serve.server import server_of
from omni.serve.streaming import unless_gone
from omni.serve.vote_store import ExportCounts, VoteStore, export_line

JSONL = "application/x-ndjson"
NAME = "preferences.jsonl"
"""What a browser calls the export."""

router = APIRouter()


@router.post("/votes", responses=answers(KeptVote))
async def keep_vote(request: Request, body: Vote) -> KeptVote:
    """Keep a vote; what its answers hold must be readable, so that an export can be learned from."""
    server = server_of(request)
    for answer in body.answers:
        said: list[Message] = [*answer.messages]
        if answer.content:
            said.append(AssistantMessage(role="assistant", content=list(answer.content)))
        _check_inside(said)
        await unless_gone(request, server.read_prompt(said))
    judged = [answer.model_dump(mode="json", exclude_none=True) for answer in body.answers]
    return KeptVote(id=await run_in_threadpool(server.votes.add, body.verdict, body.winner, judged))


@router.get("/votes", responses=answers(VoteCounts))
async def count_votes(request: Request) -> VoteCounts:
    """Count the votes that are kept."""
    counts = await run_in_threadpool(server_of(request).votes.counts)
    return VoteCounts(votes=sum(counts.values()), **counts)


@router.get("/votes/export", response_class=StreamingResponse, responses=answers(None, types=(JSONL,)))
async def export_votes(request: Request) -> StreamingResponse:
    """Give the preferences as JSONL, as ``omni shards import chat`` reads it."""
    headers = {"Content-Disposition": f'attachment; filename="{NAME}"', "Cache-Control": "no-store"}
    return StreamingResponse(_lines(server_of(request).votes), headers=headers, media_type=JSONL)


def _lines(votes: VoteStore) -> Iterator[str]:
    if votes.path.exists():
        yield from map(export_line, votes.pairs(ExportCounts()))


def _check_inside(messages: list[Message]) -> None:
    """Raise ``ApiError`` 400 for a picture or clip that is only named."""
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if isinstance(message, AssistantMessage) and message.audio is not None:
            raise invalid("a vote holds its clips: give them as input_audio parts", f"{place}.audio")
        for at, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(part, ImagePart) and not part.image_url.url.startswith("data:"):
                url = part.image_url.url[:60]
                message_ = f"a vote holds its pictures: expected a data: URL, got {url!r}"
                raise invalid(message_, f"{place}.content[{at}].image_url.url")
