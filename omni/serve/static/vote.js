// Which answer is best: asked once all answers of a turn are whole, kept by the server.

import { post, request } from "./api.js";
import { LETTERS } from "./column.js";
import { messagesOf } from "./conversation.js";
import { el, say } from "./dom.js";

/** The bar of a turn, the last of `turns`; `voted` is called once a vote is kept. */
export function voteBar(turns, voted) {
  const turn = turns.at(-1);
  const bar = el("div", { className: "vote" });
  bar.setAttribute("role", "group");
  bar.setAttribute("aria-label", "Vote");
  const two = turn.answers.length === 2;
  const choices = turn.answers.map((_, place) => [`${LETTERS[place]} is ${two ? "better" : "best"}`, "best", place]);
  choices.push(["Tie", "tie", null], [two ? "Both bad" : "All bad", "bad", null]);

  function show() {
    const whole = turn.answers.length > 1 && turn.answers.every(({ finish, error }) => finish && finish !== "stopped" && !error);
    bar.hidden = !whole;
    const buttons = choices.map(([label, verdict, winner]) => {
      const chosen = turn.vote?.verdict === verdict && turn.vote.winner === winner;
      const button = el("button", { type: "button", textContent: label, disabled: Boolean(turn.vote) });
      button.setAttribute("aria-pressed", String(chosen));
      button.onclick = () => vote(verdict, winner);
      return button;
    });
    bar.replaceChildren(...buttons);
  }

  async function vote(verdict, winner) {
    const answers = turn.answers.map((answer, place) => ({
      model: answer.model,
      messages: messagesOf(turns, place, false),
      content: answer.parts,
      settings: answer.settings,
      measured: answer.measured,
    }));
    try {
      turn.vote = { verdict, winner };
      show();
      await post("votes", { verdict, winner, answers });
      say("Vote kept");
      voted();
    } catch (error) {
      turn.vote = null;
      show();
      say(`The vote is not kept: ${error.message}`);
    }
  }

  show();
  return { element: bar, show };
}

/** Save all votes as preferences for post-training. */
export async function exportVotes() {
  try {
    const blob = await (await request("votes/export")).blob();
    if (!blob.size) return say("No vote prefers an answer yet");
    const link = el("a", { href: URL.createObjectURL(blob), download: "preferences.jsonl" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say("Votes exported");
  } catch (error) {
    say(`Can't export: ${error.message}`);
  }
}
