// Conversations: what was asked and answered, as messages for a request, and as they are kept in the browser.

const STORED = "omni-conversations";
const MOST = 50;

/** A new conversation. */
export function conversation() {
  return { id: crypto.randomUUID?.() ?? String(Math.random()), began: Date.now(), turns: [] };
}

/** The content of a user's message: what a question is about comes before it, as models are trained. */
export function contentOf(user) {
  const parts = [...user.media];
  if (user.text) parts.push({ type: "text", text: user.text });
  return parts;
}

/**
 * What a column's model is told before its answer to the last of `turns`: those turns that the column has answered,
 * and the last one's question. `plain` is for endpoints that take only text from an assistant: of clips it has the
 * transcript, and no pictures.
 */
export function messagesOf(turns, place, plain) {
  const messages = [];
  turns.forEach((turn, number) => {
    const question = { role: "user", content: contentOf(turn.user) };
    const answer = turn.answers[place];
    if (number === turns.length - 1) messages.push(question);
    else if (answer && !answer.error && answer.parts.length) {
      const text = answer.parts.map((part) => part.text ?? "").join("") || answer.transcript || "(a picture)";
      messages.push(question, { role: "assistant", content: plain ? text : answer.parts });
    }
  });
  return messages;
}

/** The conversations that are kept, newest first. */
export function kept() {
  try {
    return JSON.parse(localStorage.getItem(STORED)) ?? [];
  } catch {
    return [];
  }
}

/** Keep a conversation. Where the browser has no room for more, the oldest go; false where this one does not fit. */
export function keep(one) {
  const all = [one, ...kept().filter(({ id }) => id !== one.id)].slice(0, MOST);
  for (; all.length; all.pop()) {
    try {
      localStorage.setItem(STORED, JSON.stringify(all));
      return true;
    } catch {
      continue;
    }
  }
  return false;
}

/** Forget a conversation. */
export function forget(id) {
  localStorage.setItem(STORED, JSON.stringify(kept().filter((one) => one.id !== id)));
}
