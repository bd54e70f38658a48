"""EleutherAI's ``lm-eval`` on our models: its three kinds of request (v0.4, ``lm_eval.api.model.LM``)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from typing import Any

try:
    from lm_eval.api.model import TemplateLM
except ImportError as error:
    raise ImportError("lm-eval is not installed: pip install 'omni[eval]'") from error

from omni.evaluation.harness.generation import continued
from omni.evaluation.scorer import DocumentScorer
from omni.inference.omni import Omni
from omni.layout import SequenceBuilder
from omni.sequence import Document, Segment, Sequence, Text


class OmniTextLM(TemplateLM):
    """A model as ``lm-eval`` sees it: text in, likelihoods and text out.

    By default a context is running text that is continued, as the harness means it. With ``chat`` the context is what
    a user says and the continuation, without the space before it, is the assistant's answer: for models that were
    only trained on turns.
    """

    def __init__(self, omni: Omni, scorer: DocumentScorer, chat: bool = False, batch_size: int = 64) -> None:
        """
        Args:
            omni: the model.
            scorer: scores by the same model.
            chat: see above.
            batch_size: answers that are generated together.
        """
        super().__init__()
        self.omni, self.scorer, self.chat, self.batch = omni, scorer, chat, batch_size

    @property
    def eot_token_id(self) -> int:
        """Id of ``<|end|>``."""
        return self.omni.tokenizers.text.end

    @property
    def prefix_token_id(self) -> int:
        """Id of ``<|begin|>``, which opens every document."""
        return self.omni.tokenizers.text.begin

    @property
    def tokenizer_name(self) -> str:
        """Changes with the tokenizers."""
        return f"omni-{self.omni.layout.fingerprint}"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Ids of a text; ``<|begin|>`` is laid before it later."""
        return self.omni.tokenizers.text.encode(string)

    def loglikelihood(self, requests: Seq[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation behind its context, and whether it is the greedy one."""
        if not self.chat:
            return super().loglikelihood(requests, disable_tqdm)
        return self._likelihoods(self._turns(*request.args) for request in requests)

    def _loglikelihood_tokens(
        self, requests: Seq[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        return self._likelihoods(self._text(context, asked) for _, context, asked in requests)

    def loglikelihood_rolling(self, requests: Seq[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of whole texts, each in one piece: nothing limits the length of a document."""
        encode = self.omni.tokenizers.text.encode
        sequences = (self._text([], encode(text)) for (text,) in (request.args for request in requests))
        return [likelihood for likelihood, _ in self._likelihoods(sequences)]

    def generate_until(self, requests: Seq[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model writes behind each context, up to the first stop string."""
        asked: list[tuple[list[Segment], dict[str, Any]]] = [
            ([Text(context)] if context else [], settings) for context, settings in (r.args for r in requests)
        ]
        return continued(self.omni, asked, self.chat, self.batch)

    def _likelihoods(self, sequences: Iterable[Sequence]) -> list[tuple[float, bool]]:
        return [(-float(one.nats.sum()), bool(one.greedy.all())) for one in self.scorer.text(sequences)]

    def _text(self, context: list[int], asked: list[int]) -> Sequence:
        """Running text of which ``asked`` is the target."""
        builder = SequenceBuilder()
        builder.text(self.prefix_token_id, loss=False)
        for token in context if context[:1] != [self.prefix_token_id] else context[1:]:
            builder.text(token, loss=False)
        for token in asked:
            builder.text(token, loss=True)
        return self.omni.layout.finish(builder, "request")

    def _turns(self, context: str, asked: str) -> Sequence:
        """The context as the user's turn, of the answer everything but its end as the target."""
        layout = self.omni.layout
        said = (Text(context, role="user", loss=False), Text(asked.lstrip(), role="assistant"))
        return layout.finish(layout.encode_open(Document(said)), "request")
