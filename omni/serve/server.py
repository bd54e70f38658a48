"""What the routes of one app share."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request

from omni.serve.clips import Clips
from omni.serve.errors import ApiError, invalid
from omni.serve.fetch import Fetcher
from omni.serve.local import LocalModel
from omni.serve.metrics import Metrics
from omni.serve.prompt import PromptReader
from omni.serve.remote import RemoteModel
from omni.serve.settings import ServeConfig
from omni.serve.vote_store import VoteStore

DECODERS = 2
"""Threads that decode what clients send."""
Model = LocalModel | RemoteModel


class Server:
    """Models by name, settings, and what is kept between requests."""

    def __init__(
        self,
        models: Mapping[str, Model],
        config: ServeConfig,
        metrics: Metrics,
        fetcher: Fetcher | None = None,
    ) -> None:
        """
        Raises:
            ValueError: no model at all, or a file of votes that is none.
        """
        if not models:
            raise ValueError("nothing to serve: give a checkpoint or an endpoint")
        self.models, self.config, self.metrics = dict(models), config, metrics
        self.pool = ThreadPoolExecutor(DECODERS, "decode")
        self.clips = Clips()
        self.votes = VoteStore(config.votes)
        self.read_prompt = PromptReader(
            config.limits, fetcher or Fetcher(config.limits), self.clips, self.pool
        )

    @property
    def distinct(self) -> list[Model]:
        """The models, once each, however many names they have."""
        return list({id(model): model for model in self.models.values()}.values())

    def find(self, name: str) -> Model:
        """The model of this name.

        Raises:
            ApiError: 404, there is none.
        """
        if name not in self.models:
            message = f"the model {name!r} does not exist here; GET /v1/models lists those that do"
            raise ApiError(404, message, param="model", code="model_not_found")
        return self.models[name]

    def local(self, name: str | None) -> LocalModel:
        """The checkpoint of this name, the first one by default; requests for endpoints don't come here.

        Raises:
            ApiError: 400, none is named and there is none here; 404, there is none of this name.
        """
        if name is not None:
            model = self.find(name)
            assert isinstance(model, LocalModel), name
            return model
        for model in self.models.values():
            if isinstance(model, LocalModel):
                return model
        raise invalid("only remote endpoints are served here: say which model is asked", "model")


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    server = request.app.state.server
    assert isinstance(server, Server), server
    return server
